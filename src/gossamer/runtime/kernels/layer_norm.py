"""Layer normalisation over the channels of a tile: down the lanes, nothing is transposed."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.graphs.dims import ceiling
from gossamer.runtime.codegen.builder import LANES, VEC
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.layouts import TILE, TOKENS
from gossamer.runtime.signature import Input, Output, Signature, symbols

_GROUPS = TILE // LANES


@dataclass(frozen=True)
class LayerNorm:
    """The kernel (Ba, Kiros & Hinton 2016, equation 4)."""

    epsilon: float

    @property
    def signature(self) -> Signature:
        """What it takes: `groups` of lanes."""
        groups, channels = numbers = symbols("groups", "channels")
        room = ceiling(groups, _GROUPS) * channels * TILE
        pointers = (
            Input("x", "float32", room, TOKENS),
            Output("y", "float32", room, TOKENS),
            Input("scale", "float32", channels),
            Input("bias", "float32", channels),
        )
        return Signature("LayerNorm", pointers, numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        x, y, scale, bias = b.arguments("x", "y", "scale", "bias")
        groups, channels = b.arguments("groups", "channels")
        low, high = b.own_share(groups)
        one = b.number(VEC, 1)
        count = b.splat(b.cast(channels, VEC.element))
        with b.loop(low, high) as group:
            place = group // _GROUPS * channels * TILE + group % _GROUPS * LANES
            source, output = b.at(x, place), b.at(y, place)

            total = b.variable(b.number(VEC, 0))
            with b.loop(0, channels) as channel:
                value = b.load(b.at(source, channel * TILE), VEC, align=64)
                total.set(total.get() + value)
            mean = total.get() / count

            total.set(b.number(VEC, 0))
            with b.loop(0, channels) as channel:
                centred = b.load(b.at(source, channel * TILE), VEC, align=64) - mean
                total.set(b.fma(centred, centred, total.get()))
            deviation = b.intrinsic("sqrt", total.get() / count + self.epsilon)
            factor = one / deviation

            with b.loop(0, channels) as channel:
                centred = b.load(b.at(source, channel * TILE), VEC, align=64) - mean
                weight = b.splat(b.load(b.at(scale, channel)))
                added = b.splat(b.load(b.at(bias, channel)))
                value = b.fma(centred * factor, weight, added)
                b.store(value, b.at(output, channel * TILE), align=64)
