"""Numbers and names as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.quantities import count, figures, listed, percent, quantity, size


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (384, "384"), (1000, "1.00 k"), (147_456, "147 k"), (22_713_216, "22.7 M")],
)
def test_counts(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (90_868_376, "90.9 MB"), (999_999, "1.00 MB")],
)
def test_sizes(number: int | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0123, "12.3 ms"),
        (5.314e-6, "5.31 \N{MICRO SIGN}s"),
        (1.0, "1.00 s"),
        (0.99999, "1.00 s"),
        (118.4, "118 s"),
        (0, "0 s"),
        (float("nan"), "nan s"),
    ],
)
def test_quantities(number: float, text: str) -> None:
    assert quantity(number, "s") == text


@pytest.mark.parametrize(
    ("number", "text"), [(5.314, "5.31"), (12.31, "12.3"), (9.999, "10.0"), (0.288, "0.288")]
)
def test_three_figures(number: float, text: str) -> None:
    assert figures(number) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("a", "'a'"), ("abc", "'a', 'b', 'c'"), ("abcde", "'a', 'b', 'c' and 2 more")],
)
def test_of_many_names_three_are_told(names: str, text: str) -> None:
    assert listed(names) == text


def test_percentages() -> None:
    assert percent(0.7984) == "79.8 %"


@given(st.floats(1e-12, 1e17))
def test_the_printed_number_is_the_number_to_three_figures(number: float) -> None:
    text, _, unit = quantity(number, "s").partition(" ")
    prefix = {"": 1, "m": 1e-3, "\N{MICRO SIGN}": 1e-6, "n": 1e-9, "p": 1e-12}
    prefix |= {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
    assert float(text) * prefix[unit[:-1]] == pytest.approx(number, rel=0.0051)
    assert 1 <= float(text) < 1000
