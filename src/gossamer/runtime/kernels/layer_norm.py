"""Layer normalisation over the channels of a tile: down the lanes, nothing is transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.layouts import TILE

_GROUPS = TILE // LANES


@dataclass(frozen=True)
class LayerNorm:
    """The kernel (Ba, Kiros & Hinton 2016, equation 4).

    Arguments: x, y, scale, bias, groups of lanes, channels.
    """

    epsilon: float

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 6)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y, scale, bias = map(b.pointer, arguments[:4])
        groups, channels = arguments[4:]
        low, high = b.share(groups, thread, threads)
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
