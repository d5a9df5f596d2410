"""Sizes as polynomials: what they say must hold for every input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.graphs.dims import (
    Dim,
    Size,
    UnknownSize,
    ceiling,
    divide,
    equal,
    limit_below,
    number,
    product,
    solved,
    worded,
)

SYMBOLS = ("batch", "heads", "length")
values = st.fixed_dictionaries({name: st.integers(1, 50) for name in SYMBOLS})
whole = st.integers(-20, 20)


def combine(children: Any) -> Any:
    quotients = st.tuples(st.just("/"), children, st.integers(1, 9))
    return st.tuples(st.sampled_from("+-*"), children, children) | quotients


trees = st.recursive(st.one_of(whole, st.sampled_from(SYMBOLS)), combine, max_leaves=8)


def evaluate(tree: Any, leaf: Any) -> Any:
    if not isinstance(tree, tuple):
        return leaf(tree)
    sign, left, right = tree[0], evaluate(tree[1], leaf), evaluate(tree[2], leaf)
    return {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: ceiling(left, right),
    }[sign]()


def size_of(tree: Any) -> Size:
    return evaluate(tree, lambda leaf: Dim.symbol(leaf) if isinstance(leaf, str) else leaf)  # type: ignore[no-any-return]


def number_of(tree: Any, given: dict[str, int]) -> int:
    return evaluate(tree, lambda leaf: given[leaf] if isinstance(leaf, str) else leaf)  # type: ignore[no-any-return]


@given(trees, values)
def test_arithmetic_agrees_with_numbers(tree: Any, given: dict[str, int]) -> None:
    assert number(size_of(tree), given) == number_of(tree, given)


@given(trees, trees)
def test_equal_sizes_are_equal_polynomials(left: Any, right: Any) -> None:
    one, two = size_of(left), size_of(right)
    difference = one - two
    assert (one == two) == (difference == 0)
    if one == two:
        assert hash(one) == hash(two)


@given(trees, trees, values)
def test_what_is_divided_is_divided_exactly(left: Any, right: Any, given: dict[str, int]) -> None:
    size, by = size_of(left), size_of(right)
    try:
        quotient = divide(size, by)
    except UnknownSize:
        return
    assert number(quotient, given) * number(by, given) == number(size, given)


@given(trees, trees, values)
def test_a_product_can_be_divided_by_a_monomial(
    tree: Any, other: Any, given: dict[str, int]
) -> None:
    by = Dim.symbol("batch") * Dim.symbol("length") * 3
    assert divide(size_of(tree) * by, by) == size_of(tree)


@given(trees, trees, values)
def test_comparisons_hold_for_every_input(left: Any, right: Any, given: dict[str, int]) -> None:
    one, two = size_of(left), size_of(right)
    mine, theirs = number_of(left, given), number_of(right, given)
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        if not isinstance(one, Dim):
            continue
        try:
            claimed = getattr(one, compare)(two)
        except UnknownSize:
            continue
        assert getattr(mine, compare)(theirs) == claimed


def test_symbols_are_at_least_one() -> None:
    batch, length = Dim.symbol("batch"), Dim.symbol("length")
    assert batch >= 1
    assert batch + length > 1
    assert not batch < 0
    with pytest.raises(UnknownSize, match="depends on the input"):
        bool(batch > length)


@given(trees, trees, values)
def test_sizes_that_are_equal_are_so_for_every_input(
    left: Any, right: Any, given: dict[str, int]
) -> None:
    try:
        claimed = equal(size_of(left), size_of(right))
    except UnknownSize:
        return
    assert (number_of(left, given) == number_of(right, given)) == claimed


def test_what_may_be_less_is_neither_less_nor_not() -> None:
    length = Dim.symbol("length")
    for compare in (lambda: length >= 2, lambda: length - 3 < 0, lambda: length > 1):
        with pytest.raises(UnknownSize, match="depends on the input"):
            compare()
    with pytest.raises(UnknownSize, match="depends on the input"):
        equal(length, 1)
    assert length - 1 >= 0
    assert not length - 1 < 0


@given(trees, whole, values)
def test_a_limit_says_when_a_size_is_large_enough(
    tree: Any, least: int, given: dict[str, int]
) -> None:
    size = size_of(tree)
    try:
        limit = limit_below(size, least)
    except UnknownSize:
        assert number(size, given) < least
        return
    kept = limit is None or worded(limit, given) is None
    assert kept == (number(size, given) >= least)


def test_a_broken_limit_is_worded_as_the_user_knows_it() -> None:
    length = Dim.symbol("length")
    at_least, at_most = limit_below(length - 3, 1), limit_below(32 - length * 2, 0)
    assert at_least is not None
    assert at_most is not None
    assert worded(at_least, {"length": 3}) == "length is 3; the compiled model takes at least 4"
    assert worded(at_least, {"length": 4}) is None
    assert worded(at_most, {"length": 17}) == (
        "2*length is 34; the compiled model takes at most 32"
    )


def test_symbols_that_cancel_leave_a_number() -> None:
    batch = Dim.symbol("batch")
    assert batch - batch == 0
    assert isinstance(batch - batch + 3, int)
    assert (batch * 12) // (batch * 4) == 3
    assert batch * 12 % 4 == 0


@pytest.mark.parametrize(("size", "by"), [(7, 2), (Dim.symbol("a"), 2), (4, Dim.symbol("a"))])
def test_what_leaves_a_remainder_is_not_known(size: Size, by: Size) -> None:
    with pytest.raises(UnknownSize, match="not a multiple"):
        divide(size, by)


@pytest.mark.parametrize("size", [7, 0, Dim.symbol("a")])
def test_nothing_is_divided_by_zero(size: Size) -> None:
    with pytest.raises(UnknownSize, match="divided by nothing"):
        divide(size, 0)


def test_sizes_are_written_as_sums() -> None:
    batch, length = Dim.symbol("batch"), Dim.symbol("length")
    assert str(batch * length * 2 + length + 3) == "length + 2*batch*length + 3"
    assert (batch * length).symbols == {"batch", "length"}  # type: ignore[union-attr]


def test_quotients_rounded_up_are_alike_where_they_are_equal() -> None:
    batch, length = Dim.symbol("batch"), Dim.symbol("length")
    groups = ceiling(length, 16)
    assert ceiling(17, 16) == 2
    assert ceiling(length * 32, 16) == length * 2
    assert ceiling(batch * groups * 16, 64) == ceiling(batch * groups, 4)
    assert str(batch * groups) == "batch*ceil((length)/16)"
    assert groups.symbols == {"length"}  # type: ignore[union-attr]


def test_a_quotient_rounded_up_tells_neither_its_bounds_nor_its_symbol() -> None:
    rounded = ceiling(Dim.symbol("length") - 1, 16)
    with pytest.raises(UnknownSize, match="depends on the input"):
        bool(rounded >= 0)
    assert solved(rounded, 3) is None
    assert solved(Dim.symbol("length"), 3) == ("length", 3)


@given(trees, values)
def test_sizes_take_the_place_of_symbols(tree: Any, given: dict[str, int]) -> None:
    """As if they had stood there from the first."""
    inner: dict[str, Size] = {name: Dim.symbol(name) * 3 + 1 for name in SYMBOLS}
    size = number(size_of(tree), inner)
    assert number(size, given) == number_of(tree, {name: 3 * given[name] + 1 for name in SYMBOLS})
    assert size == evaluate(tree, lambda leaf: inner[leaf] if isinstance(leaf, str) else leaf)


def test_the_product_of_nothing_is_one() -> None:
    assert product([]) == 1
    assert product([2, Dim.symbol("a"), 3]) == Dim.symbol("a") * 6
