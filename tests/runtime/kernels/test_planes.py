"""Tiles cover a plane once, and no window leaves its input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.errors import ModelError
from gossamer.runtime.kernels.planes import Geometry, Tiling, tilings
from gossamer.runtime.layouts import cut

four = cut(8, 8)
around = replace(four, above=1, below=1, left=1, right=1)


def test_taps_stay_in_their_plane() -> None:
    Geometry(around, four, (1, 1), ((-1, -1), (1, 1)))
    for tap in ((-2, 0), (2, 0), (0, -2), (0, 2)):
        with pytest.raises(ModelError, match="reaches outside its input"):
            Geometry(around, four, (1, 1), (tap,))


def test_planes_that_do_not_line_up_are_refused() -> None:
    with pytest.raises(ModelError, match="do not line up"):
        Geometry(cut(8, 9), four, (1, 1), ((0, 0),))
    with pytest.raises(ModelError, match="do not line up"):
        Geometry(four, four, (1, 1), ((0, 0),), (cut(16, 8),))


def test_a_stride_reads_parts_that_are_larger_by_it() -> None:
    half = replace(four, height=4, width=4, down=four.down // 2, across=four.across // 2)
    Geometry(four, half, (2, 2), ((0, 0), (1, 1)))
    with pytest.raises(ModelError, match="do not line up"):
        Geometry(four, half, (2, 1), ((0, 0),))


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_tiles_cover_every_vector_once(
    size: tuple[int, int], tile: tuple[int, int], strides: tuple[int, int]
) -> None:
    output = replace(cut(*size), above=1, left=2)
    source = replace(
        output.bare(), down=output.down * strides[0], across=output.across * strides[1]
    )
    geometry = Geometry(source, output, strides, ((0, 0),))
    tiling = Tiling(*tile)
    shapes = geometry.shapes(tiling)
    written, read = [], []
    for number, size, before, begin, out in geometry.table(tiling):
        assert (size, before) == (len(shapes[number - 1].output), len(written))
        written += [out + offset for offset in shapes[number - 1].output]
        read += [begin + offset for offset in shapes[number - 1].source]
    places = [(row, column) for row in range(output.down) for column in range(output.across)]
    wanted = {output.place(*place): source.place(*np.multiply(place, strides)) for place in places}
    assert sorted(written) == sorted(wanted)
    assert [wanted[out] for out in written] == read


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([4, 7, 14]))
def test_tiles_are_about_as_large_as_asked_for(height: int, width: int, size: int) -> None:
    layout = cut(height, width)
    (tiling,) = tilings(layout, [size])
    assert 1 <= tiling.rows <= layout.down
    assert 1 <= tiling.columns <= layout.across
    assert tiling.rows * tiling.columns <= 1.5 * size + 1
