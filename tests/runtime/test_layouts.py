"""Layouts: how large a value is, and where its elements lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gossamer.runtime.layouts import GROUP, PADDED, PLAIN, TILE, TOKENS, Planes


def test_rows_take_what_their_elements_take() -> None:
    assert PLAIN.size((2, 3, 5), 4) == 120
    assert PLAIN.size((), 8) == 8


@given(st.integers(1, 9), st.integers(1, 200), st.integers(1, 50))
def test_each_sequence_begins_a_group_of_lanes(batch: int, tokens: int, channels: int) -> None:
    shape = (batch, tokens, channels)
    groups = TOKENS.groups(shape)
    assert groups * GROUP >= batch * tokens
    assert (groups // batch - 1) * GROUP < tokens
    assert (TOKENS.tiles(shape) - 1) * TILE < groups * GROUP <= TOKENS.tiles(shape) * TILE
    assert TOKENS.size(shape, 4) == TOKENS.tiles(shape) * TILE * channels * 4


def test_padded_rows_are_whole_groups() -> None:
    assert PADDED.size((2, 17), 4) == 2 * 32 * 4


planes = st.builds(
    lambda height, width, above, left: Planes(height, width, width + left, above, left),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 4),
    st.integers(0, 4),
)


@given(planes)
def test_planes_hold_their_rows_and_zeros_on_all_sides(layout: Planes) -> None:
    assert layout.front % GROUP == 0
    assert layout.plane % GROUP == 0
    # Above and to the left, and below as far, without leaving the plane.
    assert layout.front >= layout.above * layout.row + layout.left
    last = layout.front + (layout.height - 1 + layout.above) * layout.row + layout.width - 1
    assert last + layout.left < layout.plane
    # Not a multiple of 1 KiB, so that channels do not crowd the same cache lines.
    assert layout.plane * 4 % 1024


@given(planes)
def test_kept_lanes_are_the_elements(layout: Planes) -> None:
    kept = layout.kept()
    assert kept.size == layout.vectors * GROUP
    assert np.count_nonzero(kept) == layout.height * layout.width
    places = np.flatnonzero(kept)
    rows, columns = np.divmod(places, layout.row)
    assert rows.max() == layout.height - 1
    assert columns.max() == layout.width - 1


def test_planes_are_counted_by_image_and_channel() -> None:
    layout = Planes(4, 4, 5, 1, 1)
    assert layout.size((2, 3, 4, 4), 4) == 2 * 3 * layout.plane * 4
