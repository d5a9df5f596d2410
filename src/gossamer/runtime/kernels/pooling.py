"""Pooling over planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import I32, LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.math import maximum
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.tile import keep_lanes
from gossamer.runtime.layouts import Planes


@dataclass(frozen=True)
class Pool:
    """The largest, or the mean, of what the taps read; NaN where any of it is NaN.

    Arguments: x, y, kept lanes of the output's plane, planes in all.
    """

    largest: bool
    geometry: Geometry

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 4)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, kept = map(b.pointer, arguments[:3])
        geometry = self.geometry
        source, output = geometry.source, geometry.output
        down, across = geometry.strides
        low, high = b.share(arguments[3] * output.down, thread, threads)
        with b.loop(low, high) as line:
            plane, row = line // output.down, line % output.down
            first = b.at(x, plane * source.plane + row * (down * source.pitch * LANES))
            begin = row * (output.pitch * LANES) + output.place(0, 0)
            with b.loop(0, output.across) as column:
                place = b.at(first, column * (across * LANES))
                read = [
                    b.load(b.at(place, int(distance) * LANES), VEC, align=64)
                    for distance in geometry.distances()
                ]
                value = read[0]
                for other in read[1:]:
                    value = _larger(b, value, other) if self.largest else value + other
                if not self.largest:
                    value = value * (1 / len(read))
                lanes = begin + column * LANES
                if not output.exact:
                    value = keep_lanes(b, value, b.at(kept, lanes, I32))
                b.store(value, b.at(b.at(y, plane * output.plane), lanes), align=64)


def _larger(b: Builder, x: Term, y: Term) -> Term:
    """The larger of two, NaN where either is NaN."""
    return b.select(y.compare("!=", y), y, maximum(b, x, y))


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of each plane. Arguments: x, y (row by row), planes in all."""

    layout: Planes

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 3)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y = map(b.pointer, arguments[:2])
        layout = self.layout
        low, high = b.share(arguments[2], thread, threads)
        with b.loop(low, high) as plane:
            total = b.variable(b.number(VEC, 0))
            # Lanes that are no pixels hold zeros, and add nothing.
            with b.loop(0, layout.down) as row:
                line = row * (layout.pitch * LANES) + layout.place(0, 0)
                first = b.at(b.at(x, plane * layout.plane), line)
                with b.loop(0, layout.across * LANES, LANES) as lanes:
                    total.set(total.get() + b.load(b.at(first, lanes), VEC, align=64))
            sums = total.get()
            lane = [
                Term(b, b.ir.extract_element(sums.ir, b.number(I32, i).ir)) for i in range(LANES)
            ]
            while len(lane) > 1:
                lane = [left + right for left, right in zip(lane[::2], lane[1::2], strict=True)]
            mean = lane[0] * (1 / (layout.height * layout.width))
            b.store(mean, b.at(y, plane))
