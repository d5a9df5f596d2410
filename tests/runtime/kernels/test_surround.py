"""What lies around each part is what the neighbouring parts hold there, and zeros outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen.target import target
from gossamer.runtime.kernels.kernel import address_of, source_of
from gossamer.runtime.kernels.rearrange import places
from gossamer.runtime.kernels.surround import Surround
from gossamer.runtime.layouts import GROUP, PLAIN, cut
from gossamer.runtime.memory import Region, view


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    around=st.tuples(*[st.integers(0, 5)] * 4),
    planes=st.integers(1, 3),
)
def test_any_geometry(
    size: tuple[int, int], around: tuple[int, int, int, int], planes: int
) -> None:
    above, below, left, right = around
    layout = replace(cut(*size), above=above, below=below, left=left, right=right)
    images = np.random.default_rng(0).standard_normal((planes, *size)).astype(np.float32)
    # Element by element, from where each lane's pixel lies.
    wanted = np.append(images.reshape(planes, -1), np.zeros((planes, 1), np.float32), axis=1)
    wanted = wanted[:, places(size, PLAIN, layout)].reshape(planes, -1, GROUP)
    rows, columns = np.divmod(np.arange(layout.vectors), layout.pitch)
    proper = (rows >= above) & (rows < above + layout.down)
    proper &= (columns >= left) & (columns < left + layout.across)

    region = Region(planes * layout.plane * 4)
    memory = view(region.address, (planes, layout.plane // GROUP, GROUP), np.dtype(np.float32))
    memory[...] = np.nan
    memory[:, np.flatnonzero(proper)] = wanted[:, proper]
    kernel = jit.callable_kernel(address_of(Surround(layout), target("host")))
    arguments = np.array([region.address, planes], np.int64)
    for thread in range(2):
        kernel(arguments.ctypes.data, thread, 2)
    np.testing.assert_array_equal(memory[:, : layout.vectors], wanted)


def test_far_beyond_the_image_costs_no_more_code() -> None:
    host = target("host")
    wide, wider = (
        source_of(Surround(replace(cut(4, 4), above=far, below=far, left=far, right=far)), host)
        for far in (20, 60)
    )
    assert len(wider) < 1.2 * len(wide)
