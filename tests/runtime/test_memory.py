"""Memory: values that live at the same time never overlap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gossamer.runtime.memory import ALIGNMENT, Lifetime, Region, align, plan, view

spans = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(0, 5000),
    st.integers(0, 30),
    st.integers(0, 15),
)


@given(st.lists(spans, max_size=40))
def test_values_alive_at_once_do_not_overlap(lifetimes: list[Lifetime]) -> None:
    offsets, total = plan(lifetimes)
    for one, mine in enumerate(lifetimes):
        assert offsets[one] % ALIGNMENT == 0
        assert offsets[one] + mine.size <= total
        for other, theirs in list(enumerate(lifetimes))[:one]:
            if mine.first <= theirs.last and theirs.first <= mine.last:
                apart = offsets[one] + mine.size <= offsets[other]
                assert apart or offsets[other] + theirs.size <= offsets[one]


@given(st.lists(spans, max_size=40))
def test_a_plan_takes_no_more_than_all_values_side_by_side(lifetimes: list[Lifetime]) -> None:
    _, total = plan(lifetimes)
    assert total <= sum(align(lifetime.size) for lifetime in lifetimes)


def test_values_one_after_the_other_share_their_place() -> None:
    offsets, total = plan([Lifetime(640, step, step) for step in range(5)])
    assert offsets == [0] * 5
    assert total == 640


def test_a_region_is_zero_and_begins_on_a_huge_page() -> None:
    region = Region(1000)
    assert region.address % (2 << 20) == 0
    memory = view(region.address, (250,), np.dtype(np.float32))
    assert not memory.any()
    memory[:] = 3
    assert (view(region.address, (25, 10), np.dtype(np.float32)) == 3).all()


def test_a_view_of_nothing_needs_no_memory() -> None:
    assert view(0, (3, 0), np.dtype(np.int64)).shape == (3, 0)


def test_sizes_are_rounded_up() -> None:
    assert [align(size) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]
