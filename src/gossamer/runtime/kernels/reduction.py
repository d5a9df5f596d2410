"""Kernels that fold the elements of an expression along axes: sums, means, extremes, products.

What is folded is an expression, so that the mean of squares or the largest element of each window
needs no array of its own. The last axis runs in lanes: where it is kept, each lane is an output;
where it is folded, each lane folds a part, and the parts are folded at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from llvmlite import ir

from gossamer.graphs.dims import product
from gossamer.runtime.codegen.builder import I64, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.pointwise import REGISTER_TYPES, Expression, Writer, signature
from gossamer.runtime.signature import Output, Signature

_LANES = 64
"""Partial results that are kept at a time; more than a vector, to hide latencies."""

_Fold: TypeAlias = Callable[[Builder, Term, Term], Term]

_FOLDS: dict[str, _Fold] = {
    "ReduceSum": lambda b, total, x: total + x,
    "ReduceMean": lambda b, total, x: total + x,
    "ReduceProd": lambda b, total, x: total * x,
    "ReduceMax": lambda b, top, x: b.select(_stays(top, top > x), top, x),
    "ReduceMin": lambda b, least, x: b.select(_stays(least, least < x), least, x),
}


def _stays(extreme: Term, further: Term) -> Term:
    """Whether an extreme stays one: where it is further than the next, or NaN."""
    return further | extreme.compare("!=", extreme) if extreme.is_float else further


FOLDS = (*_FOLDS, "ArgMax", "ArgMin")
"""Operators that fold an expression."""


def _start(op: str, kind: Any) -> float:
    """What a fold begins with: it changes nothing."""
    if op in ("ReduceSum", "ReduceMean"):
        return 0
    if op == "ReduceProd":
        return 1
    if isinstance(kind, ir.IntType):
        lowest: int = -(2 ** (kind.width - 1))
        return lowest if op == "ReduceMax" else -lowest - 1
    return -math.inf if op == "ReduceMax" else math.inf


@dataclass(frozen=True)
class Reduction:
    """The kernel; the output lies row by row over the axes that are kept."""

    op: str
    expression: Expression
    axes: tuple[int, ...]
    """The axes that are folded, at least one."""
    sizes: int
    """How many sizes the kernel receives, named by `pointwise.extent`."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        output = _output(self.expression, self.axes, self.expression.dtype)
        return signature("Reduction", self.expression, output, self.sizes)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        folder = _Folder(self, b)
        if len(self.expression.shape) - 1 in self.axes:
            folder.fold_lanes()
        else:
            folder.keep_lanes()


def _output(expression: Expression, folded: Sequence[int], dtype: str) -> Output:
    kept = (size for axis, size in enumerate(expression.sizes()) if axis not in folded)
    return Output("output", dtype, product(kept))


class _Folder:
    """Writes the loops of a `Reduction`."""

    def __init__(self, kernel: Reduction, b: KernelBuilder) -> None:
        self.b, self.kernel = b, kernel
        self.writer = Writer(kernel.expression, b)
        self.extents = self.writer.extents(kernel.expression)
        self.kind = REGISTER_TYPES[kernel.expression.dtype]
        self.fold = _FOLDS[kernel.op]
        self.start = b.number(self.kind, _start(kernel.op, self.kind))
        self.output = b.argument("output")
        last = len(self.extents) - 1
        self.outer = [a for a in range(last) if a not in kernel.axes]
        self.folded = [a for a in range(last) if a in kernel.axes]
        with b.ir.goto_entry_block():
            slot = b.ir.alloca(self.kind, size=_LANES)
        self.lanes = Term(b, slot)

    def lane(self, number: Term) -> Term:
        """Where a partial result lies."""
        return self.b.at(self.lanes, number, self.kind)

    @contextmanager
    def each(self, index: dict[int, Term], axes: Sequence[int]) -> Iterator[None]:
        """Nested loops over axes, which put their indices into `index`."""
        with ExitStack() as loops:
            for axis in axes:
                index[axis] = loops.enter_context(self.b.loop(0, self.extents[axis]))
            yield

    def rows(self) -> Term:
        """How many combinations of the outer axes that are kept there are."""
        total = self.b.i64(1)
        for axis in self.outer:
            total = total * self.extents[axis]
        return total

    def outer_index(self, row: Term) -> dict[int, Term]:
        sizes = [self.extents[axis] for axis in self.outer]
        return dict(zip(self.outer, self.writer.unravel(row, sizes), strict=True))

    def accumulate(self, index: dict[int, Term], first: Term, count: Term) -> None:
        """Fold `count` elements from `first` along the last axis, each into its lane."""
        b, last = self.b, len(self.extents) - 1
        with b.loop(0, count) as lane:
            place = {**index, last: first + lane}
            element = self.writer.element(
                self.kernel.expression, tuple(place[axis] for axis in range(last + 1))
            )
            before = b.load(self.lane(lane), self.kind)
            b.store(self.fold(b, before, element), self.lane(lane))

    def finished(self, value: Term) -> Term:
        if self.kernel.op != "ReduceMean":
            return value
        count = self.b.i64(1)
        for axis in self.kernel.axes:
            count = count * self.extents[axis]
        return value / self.b.cast(count, self.kind)

    def keep_lanes(self) -> None:
        """Each lane is an output of its own."""
        b = self.b
        inner = self.extents[-1]
        chunks = (inner + _LANES - 1) // _LANES
        low, high = b.own_share(self.rows() * chunks)
        with b.loop(low, high) as item:
            row, first = item // chunks, item % chunks * _LANES
            count = b.smaller(inner - first, _LANES)
            index = self.outer_index(row)
            with b.loop(0, count) as lane:
                b.store(self.start, self.lane(lane))
            with self.each(index, self.folded):
                self.accumulate(index, first, count)
            with b.loop(0, count) as lane:
                value = self.finished(b.load(self.lane(lane), self.kind))
                b.store(value, b.at(self.output, row * inner + first + lane, self.kind))
        self.writer.report()

    def fold_lanes(self) -> None:
        """The lanes of an output are folded in the end."""
        b = self.b
        inner = self.extents[-1]
        low, high = b.own_share(self.rows())
        used = b.smaller(inner, _LANES)
        with b.loop(low, high) as row:
            index = self.outer_index(row)
            with b.loop(0, used) as lane:
                b.store(self.start, self.lane(lane))
            with self.each(index, self.folded), b.loop(0, inner, _LANES) as first:
                self.accumulate(index, first, b.smaller(inner - first, _LANES))
            total = b.variable(self.start)
            with b.loop(0, used) as lane:
                total.set(self.fold(b, total.get(), b.load(self.lane(lane), self.kind)))
            b.store(self.finished(total.get()), b.at(self.output, row, self.kind))
        self.writer.report()


@dataclass(frozen=True)
class ArgReduction:
    """Where the largest or smallest element lies along an axis."""

    op: str
    """`ArgMax` or `ArgMin`."""
    expression: Expression
    axis: int
    last: bool
    """Whether of equal elements the last one counts, not the first."""
    sizes: int

    @property
    def signature(self) -> Signature:
        """What it takes."""
        output = _output(self.expression, (self.axis,), "int64")
        return signature("ArgReduction", self.expression, output, self.sizes)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        writer = Writer(self.expression, b)
        extents = writer.extents(self.expression)
        kept = [size for axis, size in enumerate(extents) if axis != self.axis]
        rows = b.i64(1)
        for size in kept:
            rows = rows * size
        sign = (">" if self.op == "ArgMax" else "<") + ("=" if self.last else "")
        low, high = b.own_share(rows)
        with b.loop(low, high) as row:
            index = writer.unravel(row, kept)

            def element(place: Term, index: tuple[Term, ...] = index) -> Term:
                whole = (*index[: self.axis], place, *index[self.axis :])
                return writer.element(self.expression, whole)

            best = b.variable(element(b.i64(0)))
            where = b.variable(b.i64(0))
            with b.loop(1, extents[self.axis]) as place:
                value = element(place)
                better = value.compare(sign, best.get())
                best.set(b.select(better, value, best.get()))
                where.set(b.select(better, place, where.get()))
            b.store(where.get(), b.at(writer.output, row, I64))
        writer.report()
