"""Softmax along any axis of plain arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gossamer.runtime.codegen.builder import F32, I32, LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.math import exp, maximum
from gossamer.runtime.codegen.target import Target


@dataclass(frozen=True)
class Softmax:
    """The kernel; the largest element is subtracted first, so that nothing overflows.

    Arguments: x, y, outer size, length of the axis, inner size; x is `[outer, length, inner]`.
    """

    logarithm: bool
    """Whether the output is the softmax's logarithm."""
    rows: bool
    """Whether the inner size is 1, so that the axis runs along memory."""

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._rows if self.rows else self._columns, 5)

    def _finish(self, b: Builder, x: Term, largest: Term, total: Term) -> Term:
        """An output: from the input if it is the logarithm, else from the exponential."""
        return x - largest - total if self.logarithm else x * total

    def _factor(self, b: Builder, total: Term) -> Term:
        """What the exponentials are multiplied by, or the logarithm of their sum."""
        return b.intrinsic("log", total) if self.logarithm else 1 / total

    def _rows(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y = map(b.pointer, arguments[:2])
        outer, length, _ = arguments[2:]
        low, high = b.share(outer, thread, threads)
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
            top = maximum(b, tops[F32].get(), _across(b, tops[VEC].get(), maximum))
            largest = {VEC: b.splat(top), F32: top}
            sums = {kind: b.variable(b.number(kind, 0)) for kind in (VEC, F32)}

            def add(place: Term, kind: Any, source: Term = source, output: Term = output) -> None:
                power = exp(b, b.load(b.at(source, place), kind) - largest[kind])
                sums[kind].set(sums[kind].get() + power)
                if not self.logarithm:
                    b.store(power, b.at(output, place))

            each(add)
            total = sums[F32].get() + _across(b, sums[VEC].get(), lambda b, x, y: x + y)
            last = self._factor(b, total)
            factor = {VEC: b.splat(last), F32: last}

            def finish(
                place: Term, kind: Any, source: Term = source, output: Term = output
            ) -> None:
                value = b.load(b.at(source if self.logarithm else output, place), kind)
                b.store(self._finish(b, value, largest[kind], factor[kind]), b.at(output, place))

            each(finish)

    def _columns(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        x, y = map(b.pointer, arguments[:2])
        outer, length, inner = arguments[2:]
        pieces = (inner + LANES - 1) // LANES
        low, high = b.share(outer * pieces, thread, threads)
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


def _across(b: Builder, vector: Term, fold: Callable[[Builder, Term, Term], Term]) -> Term:
    """The lanes of a vector folded into one number."""
    lanes = [Term(b, b.ir.extract_element(vector.ir, b.number(I32, i).ir)) for i in range(LANES)]
    while len(lanes) > 1:
        lanes = [fold(b, one, other) for one, other in zip(lanes[::2], lanes[1::2], strict=True)]
    return lanes[0]
