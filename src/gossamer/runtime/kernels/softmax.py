"""Softmax along any axis of plain arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gossamer.graphs.dims import product
from gossamer.runtime.codegen.builder import F32, LANES, VEC, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.codegen.math import across, exp, maximum
from gossamer.runtime.signature import Input, Output, Signature, symbols


@dataclass(frozen=True)
class Softmax:
    """The kernel; the largest element is subtracted first, so that nothing overflows."""

    logarithm: bool
    """Whether the output is the softmax's logarithm."""
    rows: bool
    """Whether the inner size is 1, so that the axis runs along memory."""

    @property
    def signature(self) -> Signature:
        """What it takes: arrays `[outer, length, inner]`, of which it runs along `length`."""
        numbers = symbols("outer", "length", "inner")
        room = product(numbers)
        pointers = Input("x", "float32", room), Output("y", "float32", room)
        return Signature("Softmax", pointers, numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        (self._rows if self.rows else self._columns)(b)

    def _finish(self, b: Builder, x: Term, largest: Term, total: Term) -> Term:
        """An output: from the input if it is the logarithm, else from the exponential."""
        return x - largest - total if self.logarithm else x * total

    def _factor(self, b: Builder, total: Term) -> Term:
        """What the exponentials are multiplied by, or the logarithm of their sum."""
        return b.intrinsic("log", total) if self.logarithm else 1 / total

    def _rows(self, b: KernelBuilder) -> None:
        x, y, outer, length = b.arguments("x", "y", "outer", "length")
        low, high = b.own_share(outer)
        whole = length // LANES * LANES
        with b.loop(low, high) as row:
            source, output = b.at(x, row * length), b.at(y, row * length)

            def each(body: Callable[[Term, Any], None]) -> None:
                with b.loop(0, whole, LANES) as place:
                    body(place, VEC)
                with b.loop(whole, length) as place:
                    body(place, F32)

            tops = {kind: b.variable(b.number(kind, -math.inf)) for kind in (VEC, F32)}

            def find_top(place: Term, kind: Any, source: Term = source) -> None:
                value = b.load(b.at(source, place), kind)
                tops[kind].set(maximum(b, tops[kind].get(), value))

            each(find_top)
            top = maximum(b, tops[F32].get(), across(b, tops[VEC].get(), maximum))
            largest = {VEC: b.splat(top), F32: top}
            sums = {kind: b.variable(b.number(kind, 0)) for kind in (VEC, F32)}

            def add(place: Term, kind: Any, source: Term = source, output: Term = output) -> None:
                power = exp(b, b.load(b.at(source, place), kind) - largest[kind])
                sums[kind].set(sums[kind].get() + power)
                if not self.logarithm:
                    b.store(power, b.at(output, place))

            each(add)
            total = sums[F32].get() + across(b, sums[VEC].get(), lambda b, x, y: x + y)
            last = self._factor(b, total)
            factor = {VEC: b.splat(last), F32: last}

            def finish(
                place: Term, kind: Any, source: Term = source, output: Term = output
            ) -> None:
                value = b.load(b.at(source if self.logarithm else output, place), kind)
                b.store(self._finish(b, value, largest[kind], factor[kind]), b.at(output, place))

            each(finish)

    def _columns(self, b: KernelBuilder) -> None:
        x, y, outer, length, inner = b.arguments("x", "y", "outer", "length", "inner")
        pieces = (inner + LANES - 1) // LANES
        low, high = b.own_share(outer * pieces)
        with b.loop(low, high) as item:
            begin, first = item // pieces * (length * inner), item % pieces * LANES

            def column(place: Term, kind: Any) -> None:
                source, output = b.at(x, place), b.at(y, place)
                top = b.variable(b.number(kind, -math.inf))
                with b.loop(0, length) as step:
                    value = b.load(b.at(source, step * inner), kind)
                    top.set(maximum(b, top.get(), value))
                total = b.variable(b.number(kind, 0))
                with b.loop(0, length) as step:
                    power = exp(b, b.load(b.at(source, step * inner), kind) - top.get())
                    total.set(total.get() + power)
                    if not self.logarithm:
                        b.store(power, b.at(output, step * inner))
                factor = self._factor(b, total.get())
                with b.loop(0, length) as step:
                    given = source if self.logarithm else output
                    value = b.load(b.at(given, step * inner), kind)
                    value = self._finish(b, value, top.get(), factor)
                    b.store(value, b.at(output, step * inner))

            def tail(begin: Term = begin, first: Term = first) -> None:
                with b.loop(first, inner) as place:
                    column(begin + place, F32)

            def whole(begin: Term = begin, first: Term = first) -> None:
                column(begin + first, VEC)

            b.choose(first + LANES <= inner, whole, tail)
