"""Each pixel goes to its place, whatever the layouts and strides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.errors import ModelError
from gossamer.runtime.kernels.rearrange import places
from gossamer.runtime.layouts import PLAIN, cut

sizes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(size=sizes, around=st.integers(0, 3))
def test_there_and_back(size: tuple[int, int], around: int) -> None:
    layout = replace(cut(*size), above=around, left=around, right=1)
    there, back = places(size, PLAIN, layout), places(size, layout, PLAIN)
    np.testing.assert_array_equal(there[back], np.arange(size[0] * size[1]))


@given(size=sizes, strides=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_strides_take_every_second_or_third(
    size: tuple[int, int], strides: tuple[int, int]
) -> None:
    pixels = np.arange(size[0] * size[1]).reshape(size)
    taken = pixels[:: strides[0], :: strides[1]]
    np.testing.assert_array_equal(places(size, PLAIN, PLAIN, strides), taken.reshape(-1))


@given(size=sizes, bigger=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_what_no_pixel_goes_to_is_none(size: tuple[int, int], bigger: tuple[int, int]) -> None:
    parts = cut(size[0] + bigger[0], size[1] + bigger[1])
    found = places(size, PLAIN, replace(parts, height=size[0], width=size[1]))
    taken = found[found >= 0]
    np.testing.assert_array_equal(np.sort(taken), np.arange(size[0] * size[1]))


def test_an_image_beyond_32_bits_is_refused() -> None:
    with pytest.raises(ModelError, match="65536 x 65536 pixels is too large"):
        places((65536, 65536), PLAIN, cut(1024, 1024), (64, 64))
