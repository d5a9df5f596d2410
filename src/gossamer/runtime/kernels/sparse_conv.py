"""Sparse convolution over planes: each nonzero weight is a tap at a constant distance.

A kernel's elements and its input channels are columns of one matrix, so the loop is that of a
sparse linear layer; lanes are neighbouring pixels. Strides larger than one read an input whose
phases lie in channels of their own. Every layer that is not sparse runs here too, with all of its
weights in the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ModelError
from gossamer.runtime.codegen.builder import I32, LANES, VEC, VEC_I32, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.sparse_lists import ListKernel, SparseLists, make_lists
from gossamer.runtime.layouts import TILE, Planes

_GROUPS = TILE // LANES

# Floats that the taps of a block of channels may reach from one tile: three quarters of a
# first-level cache of 32 KiB.
_BLOCK_FLOATS = 6144


@dataclass(frozen=True)
class Tap:
    """An element of a kernel: the phase of the input that it reads, and how far away."""

    phase: int
    down: int
    across: int

    def distance(self, layout: Planes) -> int:
        """Floats from an output's place in the plane to the input's."""
        return self.down * layout.row + self.across


def check(taps: Sequence[Tap], source: Planes, output: Planes) -> None:
    """Prove that no tap leaves its plane, whatever the pixel.

    Raises:
        ModelError: if one does.
    """
    last = output.vectors * LANES
    for tap in taps:
        distance = tap.distance(source)
        if source.front + distance < 0 or source.front + distance + last > source.plane:
            raise ModelError("a convolution reaches outside its input; export the model anew")
    if source.row != output.row:
        raise ModelError("a convolution's input and output do not line up; export the model anew")


def _reach(taps: Sequence[Tap]) -> int:
    """Floats of an input's plane that the taps read for one tile."""
    lines: dict[tuple[int, int], list[int]] = {}
    for tap in taps:
        lines.setdefault((tap.phase, tap.down), []).append(tap.across)
    return sum(TILE + max(across) - min(across) for across in lines.values())


def pack(
    weight: NDArray[np.float32],
    group: int,
    taps: Sequence[Tap],
    phases: int,
    source: Planes,
    output: Planes,
    chunks: int,
) -> SparseLists:
    """Arrange a kernel `[outputs, inputs / group, taps]` for the loop.

    `taps` names each element of the kernel, row by row; each input has so many `phases`.
    """
    check(taps, source, output)
    rows = weight.shape[0]
    weight = weight.reshape(rows, weight.shape[1], len(taps))
    inputs = weight.shape[1] * group
    full = np.zeros((rows, inputs, len(taps)), np.float32)
    each = rows // group
    for part in range(group):
        mine = slice(part * each, (part + 1) * each)
        full[mine, part * weight.shape[1] : (part + 1) * weight.shape[1]] = weight[mine]
    distance = np.array([tap.phase * source.plane + tap.distance(source) for tap in taps])
    places = np.arange(inputs)[:, None] * (phases * source.plane) + distance
    if np.abs(places).max(initial=0) >= 2**31:
        raise ModelError("a convolution's input is too large for one image; make the image smaller")
    together = max(1, _BLOCK_FLOATS // _reach(taps))
    blocks = [
        slice(start * len(taps), (start + together) * len(taps))
        for start in range(0, inputs, together)
    ]
    return make_lists(full.reshape(rows, -1), places.reshape(-1).astype(np.int32), blocks, chunks)


@dataclass(frozen=True)
class SparseConv:
    """The kernel, for the layouts of its input and output.

    Arguments: x, y, bias, values, offsets, rows, ends, segments, kept lanes of the output's plane,
    images, input channels, output channels, blocks, chunks, and a pointer for each operand of the
    epilogue, which lies like the output.
    """

    source_layout: Planes
    output_layout: Planes
    epilogue: Epilogue

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 14 + self.epilogue.operands)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, bias = map(b.pointer, arguments[:3])
        kept = b.pointer(arguments[8])
        images, channels, rows, blocks, chunks = arguments[9:14]
        operands = [b.pointer(argument) for argument in arguments[14:]]
        lists = ListKernel(b, arguments[3:8], I32, aligned=False)
        layout = self.output_layout
        tiles = -(-layout.vectors // _GROUPS)
        last_groups = layout.vectors - (tiles - 1) * _GROUPS
        low, high = b.share(images * tiles * chunks, thread, threads)

        with b.loop(low // chunks, (high + chunks - 1) // chunks) as item:
            mine = (b.larger(low - item * chunks, 0), b.smaller(high - item * chunks, chunks))
            image, tile = item // tiles, item % tiles
            groups = b.select(tile.compare("==", tiles - 1), b.i64(last_groups), b.i64(_GROUPS))
            lanes = tile * TILE
            source = b.at(
                x, image * channels * self.source_layout.plane + self.source_layout.front + lanes
            )
            planes = image * rows * layout.plane
            output = planes + layout.front + lanes
            with b.loop(0, blocks) as block:
                is_last = block.compare("==", blocks - 1)

                def initial(row: Term, count: int) -> list[Term]:
                    return [b.splat(b.load(b.at(bias, row)))] * count

                def address(row: Term, group: int, output: Term = output) -> Term:
                    return b.at(y, output + row * layout.plane + group * LANES)

                def final(
                    row: Term,
                    group: int,
                    value: Term,
                    output: Term = output,
                    planes: Term = planes,
                    lanes: Term = lanes,
                    tile: Term = tile,
                ) -> Term:
                    if group == 0:
                        with b.when(tile.compare("==", 0)):
                            clear_border(b, b.at(y, planes + row * layout.plane), layout)
                    position = output + row * layout.plane + group * LANES
                    others = [b.load(b.at(other, position), VEC, align=64) for other in operands]
                    value = self.epilogue.apply(b, value, others)
                    return keep_lanes(b, value, b.at(kept, lanes + group * LANES, I32))

                def width(
                    count: int,
                    source: Term = source,
                    block: Term = block,
                    is_last: Term = is_last,
                    mine: tuple[Term, Term] = mine,
                ) -> None:
                    lists.write(
                        count, source, block, is_last, mine, chunks, initial, address, final
                    )

                b.switch(groups, _GROUPS, width)


def keep_lanes(b: Builder, value: Term, mask: Term) -> Term:
    """The value with zeros in the lanes where the mask has none of its bits set."""
    return b.bits(b.bits(value, VEC_I32) & b.load(mask, VEC_I32, align=64), VEC)


def clear_border(b: Builder, plane: Term, layout: Planes) -> None:
    """Write the zeros before the first and after the last vector of a plane."""
    zero = b.number(VEC, 0)
    with b.loop(0, layout.front, LANES) as place:
        b.store(zero, b.at(plane, place), align=64)
    with b.loop(layout.front + layout.vectors * LANES, layout.plane, LANES) as place:
        b.store(zero, b.at(plane, place), align=64)
