"""Pooling over planes."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.runtime.codegen.builder import I32, LANES, VEC, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.codegen.math import across, maximum
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.tile import keep_lanes
from gossamer.runtime.layouts import GROUP, Planes
from gossamer.runtime.signature import Input, Output, Signature, symbols


@dataclass(frozen=True)
class Pool:
    """The largest, or the mean, of what the taps read; NaN where any of it is NaN."""

    largest: bool
    geometry: Geometry

    @property
    def signature(self) -> Signature:
        """What it takes: `kept`, the lanes of an output's plane that are pixels, and `planes`."""
        (planes,) = numbers = symbols("planes")
        source, output = self.geometry.source, self.geometry.output
        pointers = (
            Input("x", "float32", planes * source.plane, source),
            Output("y", "float32", planes * output.plane, output),
            Input("kept", "int32", output.vectors * GROUP),
        )
        return Signature("Pool", pointers, numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        x, y, kept, planes = b.arguments("x", "y", "kept", "planes")
        geometry = self.geometry
        source, output = geometry.source, geometry.output
        down, across = geometry.strides
        low, high = b.own_share(planes * output.down)
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
    """The mean of each plane."""

    layout: Planes

    @property
    def signature(self) -> Signature:
        """What it takes: the output row by row, and how many `planes` there are in all."""
        (planes,) = numbers = symbols("planes")
        x = Input("x", "float32", planes * self.layout.plane, self.layout)
        return Signature("GlobalAverage", (x, Output("y", "float32", planes)), numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        x, y, planes = b.arguments("x", "y", "planes")
        layout = self.layout
        low, high = b.own_share(planes)
        with b.loop(low, high) as plane:
            total = b.variable(b.number(VEC, 0))
            # Lanes that are no pixels hold zeros, and add nothing.
            with b.loop(0, layout.down) as row:
                line = row * (layout.pitch * LANES) + layout.place(0, 0)
                first = b.at(b.at(x, plane * layout.plane), line)
                with b.loop(0, layout.across * LANES, LANES) as lanes:
                    total.set(total.get() + b.load(b.at(first, lanes), VEC, align=64))
            total_of_lanes = across(b, total.get(), lambda b, left, right: left + right)
            mean = total_of_lanes * (1 / (layout.height * layout.width))
            b.store(mean, b.at(y, plane))
