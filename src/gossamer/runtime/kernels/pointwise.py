"""Kernels in which each element of the output is an expression in elements of the inputs.

Arithmetic, comparisons, activations, data movement and look-ups are all of this kind, so whole
chains of such operators become one loop nest. The expression says what an element is; LLVM turns
the innermost loop into vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llvmlite import ir

from gossamer.runtime.codegen.builder import F32, F64, I1, I8, I32, I64, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.elements import ELEMENTWISE
from gossamer.runtime.kernels.movement import MOVEMENT
from gossamer.runtime.layouts import GROUP, PADDED, PLAIN, TILE, Padded, Plain, Planes, Tokens

Index: TypeAlias = "tuple[Term, ...]"
Layout: TypeAlias = "Plain | Padded | Planes | Tokens"
Extent: TypeAlias = "int | str"
"""A size: a number, or the name of one that the kernel receives."""

REGISTER_TYPES: dict[str, Any] = {
    "float32": F32,
    "float64": F64,
    "int64": I64,
    "int32": I32,
    "bool": I1,
}
MEMORY_TYPES: dict[str, Any] = {**REGISTER_TYPES, "bool": I8}


@dataclass(frozen=True)
class Expression:
    """What an element of a value is."""

    op: str
    """An ONNX operator, `Input` (an array), or `Size` (a number that the kernel receives)."""
    dtype: str
    shape: tuple[Extent, ...]
    operands: tuple[Expression, ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        return dict(self.attributes).get(name, default)

    def inputs(self) -> int:
        """How many arrays the expression reads: one more than the largest slot."""
        own = self.attribute("slot") + 1 if self.op == "Input" else 0
        return max([own, *(operand.inputs() for operand in self.operands)])


@dataclass(frozen=True)
class Pointwise:
    """The kernel. Arguments: output, error flag, one pointer an input, one number a size."""

    expression: Expression
    sizes: int
    """How many sizes the kernel receives, named `d0`, `d1`, ..."""
    layout: Layout = PLAIN
    """How the output lies."""

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        inputs = self.expression.inputs()

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            writer = Writer(self.expression, b, arguments)
            if isinstance(self.layout, Tokens):
                writer.write_tokens(thread, threads)
            elif isinstance(self.layout, Planes):
                writer.write_planes(self.layout, thread, threads)
            else:
                writer.write_rows(thread, threads, padded=self.layout == PADDED)

        return write_kernel(body, 2 + inputs + self.sizes)


class Writer:
    """Writes the loops and the elements; the rules in `movement.py` call back into it."""

    def __init__(self, expression: Expression, b: Builder, arguments: Sequence[Term]) -> None:
        self.b = b
        self.expression = expression
        inputs = expression.inputs()
        self.output, self.flag = b.pointer(arguments[0]), b.pointer(arguments[1])
        self.arrays = [b.pointer(argument) for argument in arguments[2 : 2 + inputs]]
        self.sizes = {f"d{i}": size for i, size in enumerate(arguments[2 + inputs :])}
        self.wrong = b.variable(b.i64(0))
        self._done: dict[Any, tuple[Term, Index]] = {}

    def extents(self, expression: Expression) -> list[Term]:
        """The sizes of an expression's shape."""
        return [
            self.b.i64(size) if isinstance(size, int) else self.sizes[size]
            for size in expression.shape
        ]

    def write_rows(self, thread: Term, threads: Term, padded: bool) -> None:
        """Row by row: the rows are shared among the threads, or one row's elements.

        Padded rows repeat their last element up to a whole group.
        """
        b = self.b
        extents = self.extents(self.expression)
        *outer, inner = extents or [b.i64(1)]
        width = (inner + GROUP - 1) // GROUP * GROUP if padded else inner
        rows = b.i64(1)
        for size in outer:
            rows = rows * size
        if outer:
            low, high = b.share(rows, thread, threads)
            first, last = b.i64(0), width
        else:
            low, high = b.i64(0), b.i64(1)
            first, last = b.share(width, thread, threads)
        with b.loop(low, high) as row:
            index = self.unravel(row, outer)
            with b.loop(first, last) as column:
                inside = b.smaller(column, inner - 1) if padded else column
                place: Index = (*index, inside) if extents else ()
                self._store(self.element(self.expression, place), row * width + column)
        self.report()

    def write_tokens(self, thread: Term, threads: Term) -> None:
        """Tile by tile; lanes beyond the end of a sequence repeat its last token."""
        b = self.b
        *leading, tokens, channels = self.extents(self.expression)
        sequences = b.i64(1)
        for size in leading:
            sequences = sequences * size
        groups = (tokens + GROUP - 1) // GROUP
        tiles = (sequences * groups * GROUP + TILE - 1) // TILE
        low, high = b.share(tiles * (TILE // GROUP), thread, threads)
        with b.loop(low, high) as group:
            sequence = b.smaller(group // groups, sequences - 1)
            index = self.unravel(sequence, leading)
            start = group % groups * GROUP
            place = group // (TILE // GROUP) * channels * TILE + group % (TILE // GROUP) * GROUP
            with b.loop(0, channels) as channel:
                row = place + channel * TILE
                with b.loop(0, GROUP) as lane:
                    token = b.smaller(start + lane, tokens - 1)
                    value = self.element(self.expression, (*index, token, channel))
                    self._store(value, row + lane)
        self.report()

    def write_planes(self, layout: Planes, thread: Term, threads: Term) -> None:
        """Plane by plane, zeros around and between the rows included."""
        b = self.b
        images, channels, *_ = self.extents(self.expression)
        low, high = b.share(images * channels, thread, threads)
        zero = b.number(REGISTER_TYPES[self.expression.dtype], 0)
        with b.loop(low, high) as plane:
            image, channel = plane // channels, plane % channels
            begin = plane * layout.plane
            with b.loop(0, layout.front) as place:
                self._store(zero, begin + place)
            with b.loop(0, layout.height) as row:
                line = begin + layout.front + row * layout.row
                with b.loop(0, layout.width) as column:
                    value = self.element(self.expression, (image, channel, row, column))
                    self._store(value, line + column)
                with b.loop(layout.width, layout.row) as column:
                    self._store(zero, line + column)
            with b.loop(layout.front + layout.height * layout.row, layout.plane) as place:
                self._store(zero, begin + place)
        self.report()

    def unravel(self, flat: Term, sizes: Sequence[Term]) -> Index:
        """The index along each axis of an element counted row by row."""
        index: list[Term] = []
        for size in reversed(sizes):
            index.insert(0, flat % size)
            flat = flat // size
        return tuple(index)

    def element(self, expression: Expression, index: Index) -> Term:
        """The element of an expression at an index."""
        # The block matters: what was computed inside a branch is not there after it.
        known = (id(expression), self.b.ir.block.name, *(id(term.ir) for term in index))
        if known not in self._done:
            # The index is kept as well, so that no other term can get its identity.
            self._done[known] = self._element(expression, index), index
        return self._done[known][0]

    def _element(self, expression: Expression, index: Index) -> Term:
        b = self.b
        if expression.op == "Input":
            return self._load(expression, index)
        if expression.op == "Size":
            return self.sizes[expression.attribute("name")]
        if expression.op in MOVEMENT:
            return MOVEMENT[expression.op](self, expression, index)
        operands = [self.broadcast(operand, index) for operand in expression.operands]
        compute = ELEMENTWISE[expression.op]
        return compute(b, expression, REGISTER_TYPES[expression.dtype], *operands)

    def broadcast(self, expression: Expression, index: Index) -> Term:
        """The element that broadcasting puts at an index of a larger shape."""
        skipped = len(index) - len(expression.shape)
        own = [
            self.b.i64(0) if size == 1 else term
            for size, term in zip(expression.shape, index[skipped:], strict=True)
        ]
        return self.element(expression, tuple(own))

    def checked(self, position: Term, size: Term) -> Term:
        """An index from data, counted from the end if negative; a wrong one is reported, and 0."""
        b = self.b
        position = b.cast(position, I64)
        position = b.select(position < 0, position + size, position)
        outside = (position < 0) | (position >= size)
        self.wrong.set(self.wrong.get() | b.cast(outside, I64))
        return b.select(outside, b.i64(0), position)

    def _load(self, expression: Expression, index: Index) -> Term:
        b = self.b
        extents = self.extents(expression)
        layout = expression.attribute("layout")
        if isinstance(layout, Tokens):
            place = self._place_in_tiles(extents, index)
        elif isinstance(layout, Planes):
            image, channel, row, column = index
            plane = image * extents[1] + channel
            place = plane * layout.plane + layout.front + row * layout.row + column
        else:
            place = b.i64(0)
            for size, term in zip(extents, index, strict=True):
                place = place * size + term
        kind = MEMORY_TYPES[expression.dtype]
        value = b.load(b.at(self.arrays[expression.attribute("slot")], place, kind), kind)
        return value.compare("!=", 0) if expression.dtype == "bool" else value

    def _place_in_tiles(self, extents: Sequence[Term], index: Index) -> Term:
        *leading, tokens, channels = extents
        sequence = self.b.i64(0)
        for size, term in zip(leading, index[:-2], strict=True):
            sequence = sequence * size + term
        token, channel = index[-2:]
        lane = sequence * ((tokens + GROUP - 1) // GROUP * GROUP) + token
        return (lane // TILE * channels + channel) * TILE + lane % TILE

    def _store(self, value: Term, place: Term) -> None:
        b = self.b
        kind = MEMORY_TYPES[self.expression.dtype]
        if self.expression.dtype == "bool":
            value = Term(b, b.ir.zext(value.ir, I8))
        assert isinstance(kind, ir.Type)
        b.store(value, b.at(self.output, place, kind))

    def report(self) -> None:
        """Tell the caller of an index from the data that lay outside."""
        b = self.b
        with b.when(self.wrong.get() > 0):
            b.store(b.i64(1), self.flag)
