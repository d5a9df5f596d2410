"""Lists that somebody gives as arguments, or one line."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from gossamer.arguments import check_function, names, number, numbers, seconds, whole
from gossamer.errors import OptionError


def test_names_are_one_or_several() -> None:
    assert names("layers", "a") == ["a"]
    assert names("layers", ("a", "b")) == ["a", "b"]
    assert names("layers", (name for name in "ab")) == ["a", "b"]
    assert names("layers", np.array(["a", "b"])) == ["a", "b"]
    assert names("layers", []) == []


@pytest.mark.parametrize("given", [None, 1, 2.5, b"a", [1], ["a", None], np.zeros(()), int, len])
def test_anything_else_is_no_list_of_names(given: Any) -> None:
    with pytest.raises(OptionError, match="layers= must be a name or a list of names, not"):
        names("layers", given)


def test_numbers_are_any_list_of_numbers() -> None:
    assert numbers("levels", [1, 0.5]) == [1.0, 0.5]
    assert numbers("levels", np.array([0.5, 0.25])) == [0.5, 0.25]
    assert numbers("levels", range(2)) == [0.0, 1.0]


@pytest.mark.parametrize(
    "given", [None, 1, 2.5, "1", ["a"], [None], [[1]], [10**400], np.zeros(())]
)
def test_anything_else_is_no_list_of_numbers(given: Any) -> None:
    with pytest.raises(OptionError, match="levels= must be a list of numbers, not"):
        numbers("levels", given)


@pytest.mark.parametrize(
    "given", [0.5, Fraction(1, 2), np.float32(0.5), np.array(0.5), torch.tensor([0.5])]
)
def test_a_number_of_any_library_is_one(given: Any) -> None:
    found = number("budget", given, lambda it: 0 < it <= 1, "a fraction")
    assert type(found) is float and found == 0.5


class Silent:
    """Says nothing of itself."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __float__(self) -> float:
        raise RuntimeError


@pytest.mark.parametrize(
    "given",
    [
        *(None, "", "0.5", b"1", 1j, [0.5], {}, len, np.ones(2), torch.ones(2), Silent()),
        *(True, np.True_, float("nan"), float("inf"), 10**400, 0, -1, 1.5),
    ],
)
def test_what_is_no_number_in_range_is_one_line(given: Any) -> None:
    with pytest.raises(OptionError, match=r"^budget is .*; give a fraction$"):
        number("budget", given, lambda it: 0 < it <= 1, "a fraction")


def test_seconds_are_what_can_be_waited_for() -> None:
    assert seconds("min_time", 0) == 0.0
    for wrong in (-1, 1e308):
        with pytest.raises(OptionError, match=r"min_time is .*; give seconds, 0 to a billion"):
            seconds("min_time", wrong)


@pytest.mark.parametrize("given", [2, np.int64(2), torch.tensor(2)])
def test_a_whole_number_of_any_library_is_one(given: Any) -> None:
    found = whole("threads", given, 1)
    assert type(found) is int and found == 2


@pytest.mark.parametrize("given", [None, "2", 2.0, True, np.True_, [2], 0, -1, Silent()])
def test_what_is_no_whole_number_is_one_line(given: Any) -> None:
    with pytest.raises(OptionError, match=r"^threads is .*; give a whole number from 1 up$"):
        whole("threads", given, 1)


def test_a_whole_number_fits_in_64_bits() -> None:
    with pytest.raises(OptionError, match="give a whole number from 1 to 9223372036854775807"):
        whole("threads", 2**63, 1)


def test_a_function_can_be_called() -> None:
    check_function("evaluate", None, "from the model to a number")
    check_function("evaluate", len, "from the model to a number")
    with pytest.raises(OptionError, match=r"evaluate is 'f'; give a function from the model"):
        check_function("evaluate", "f", "from the model to a number")


def test_an_error_shows_no_more_than_can_be_read() -> None:
    with pytest.raises(OptionError) as caught:
        names("layers", [0] * 10_000)
    assert len(str(caught.value)) < 300
