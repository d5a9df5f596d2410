"""Layouts: how large a value is, and where its elements lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.graphs.dims import Dim, number
from gossamer.runtime.layouts import GROUP, PADDED, PLAIN, TILE, TOKENS, Layout, Planes, cut


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


@pytest.mark.parametrize("layout", [PLAIN, TOKENS, PADDED, cut(9, 20)])
@given(st.integers(1, 5), st.integers(1, 90))
def test_open_sizes_take_what_their_numbers_take(layout: Layout, batch: int, length: int) -> None:
    """Of every layout: what is proved of the polynomial holds for the numbers."""
    opened = (Dim.symbol("batch"), 3, Dim.symbol("length"), 7)
    elements = layout.elements(opened)
    values = {"batch": batch, "length": length}
    assert number(elements, values) * 4 == layout.size((batch, 3, length, 7), 4)


planes = st.builds(
    lambda height, width, above, below, left, right: replace(
        cut(height, width), above=above, below=below, left=left, right=right
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    *[st.integers(0, 4)] * 4,
)


@given(planes)
def test_every_pixel_has_one_lane_of_the_part_proper(layout: Planes) -> None:
    bare = layout.bare()
    rows, columns = bare.pixels()
    kept = bare.kept() != 0
    pixels = set(zip(rows[kept].tolist(), columns[kept].tolist(), strict=True))
    assert len(pixels) == np.count_nonzero(kept) == layout.height * layout.width
    assert bare.exact == kept.all()


@given(planes)
def test_a_neighbour_is_the_same_lane_of_another_vector(layout: Planes) -> None:
    rows, columns = (axis.reshape(-1, layout.pitch, GROUP) for axis in layout.pixels())
    assert (np.diff(rows, axis=0) == 1).all()
    assert (np.diff(columns, axis=1) == 1).all()
    assert (layout.place(0, 0), rows.size) == (
        (layout.above * layout.pitch + layout.left) * GROUP,
        layout.vectors * GROUP,
    )


@given(planes)
def test_channels_do_not_crowd_the_same_cache_lines(layout: Planes) -> None:
    assert layout.plane >= layout.vectors * GROUP
    assert layout.plane % GROUP == 0
    assert layout.plane * 4 % 1024


@pytest.mark.parametrize(("size", "vectors"), [(112, 784), (56, 196), (28, 49), (14, 14), (7, 4)])
def test_common_sizes_waste_few_lanes(size: int, vectors: int) -> None:
    assert cut(size, size).vectors == vectors


def test_planes_are_counted_by_image_and_channel() -> None:
    layout = cut(4, 4)
    assert layout.size((2, 3, 4, 4), 4) == 2 * 3 * layout.plane * 4
