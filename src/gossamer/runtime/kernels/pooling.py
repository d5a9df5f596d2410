"""Pooling over planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import I32, LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.math import maximum
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.sparse_conv import Tap, check, clear_border, keep_lanes
from gossamer.runtime.layouts import Planes


@dataclass(frozen=True)
class Pool:
    """The largest, or the mean, of what the taps read.

    Arguments: x, y, kept lanes of the output's plane, planes of the output in all.
    """

    largest: bool
    taps: tuple[Tap, ...]
    phases: int
    source_layout: Planes
    output_layout: Planes

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        check(self.taps, self.source_layout, self.output_layout)
        return write_kernel(self._body, 4)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, kept = map(b.pointer, arguments[:3])
        source, output = self.source_layout, self.output_layout
        low, high = b.share(arguments[3], thread, threads)
        with b.loop(low, high) as plane:
            first = b.at(x, plane * (self.phases * source.plane) + source.front)
            clear_border(b, b.at(y, plane * output.plane), output)
            begin = b.at(y, plane * output.plane + output.front)
            with b.loop(0, output.vectors * LANES, LANES) as lanes:
                read = [
                    b.load(
                        b.at(first, lanes + tap.phase * source.plane + tap.distance(source)), VEC
                    )
                    for tap in self.taps
                ]
                value = read[0]
                for other in read[1:]:
                    value = maximum(b, value, other) if self.largest else value + other
                if not self.largest:
                    value = value * (1 / len(self.taps))
                value = keep_lanes(b, value, b.at(kept, lanes, I32))
                b.store(value, b.at(begin, lanes), align=64)


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
            first = b.at(x, plane * layout.plane + layout.front)
            total = b.variable(b.number(VEC, 0))
            # What lies between rows is zero and adds nothing.
            with b.loop(0, layout.vectors * LANES, LANES) as lanes:
                total.set(total.get() + b.load(b.at(first, lanes), VEC, align=64))
            sums = total.get()
            lane = [
                Term(b, b.ir.extract_element(sums.ir, b.number(I32, i).ir)) for i in range(LANES)
            ]
            while len(lane) > 1:
                lane = [left + right for left, right in zip(lane[::2], lane[1::2], strict=True)]
            mean = lane[0] * (1 / (layout.height * layout.width))
            b.store(mean, b.at(y, plane))
