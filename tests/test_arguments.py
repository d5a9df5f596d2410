"""Lists that somebody gives as arguments, or one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.arguments import names, numbers
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
