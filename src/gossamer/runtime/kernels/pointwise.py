"""Kernels in which each element of the output is an expression in elements of the inputs.

Arithmetic, comparisons, activations, data movement and look-ups are all of this kind, so whole
chains of such operators become one loop nest. The expression says what an element is; LLVM turns
the innermost loop into vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llvmlite import ir

from gossamer.graphs.dims import Dim, Size
from gossamer.runtime.codegen.builder import F32, F64, I1, I8, I32, I64, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.planes import meeting
from gossamer.runtime.layouts import GROUP, PADDED, PLAIN, TILE, Layout, Planes, Tokens
from gossamer.runtime.signature import Flag, Given, Input, Output, Signature

Index: TypeAlias = "tuple[Term, ...]"
Rule: TypeAlias = "Callable[[Writer, Expression, Index], Term]"
"""Writes the element of an expression at an index."""
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
    """An ONNX operator, `Input` (an array), `Size` (a number that the kernel receives), `Sizes` (a
    small tensor of such) or `Constant` (a number)."""
    dtype: str
    shape: tuple[Extent, ...]
    operands: tuple[Expression, ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()
    rule: Rule | None = field(default=None, compare=False, repr=False)
    """Of an operator; its name stands for it."""

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        return dict(self.attributes).get(name, default)

    def sizes(self) -> tuple[Size, ...]:
        """The shape, in the numbers that the kernel receives."""
        return tuple(size if isinstance(size, int) else Dim.symbol(size) for size in self.shape)

    def inputs(self) -> dict[str, Expression]:
        """The arrays that the expression reads, by the names of the kernel's arguments."""
        own = {_input(self.attribute("slot")): self} if self.op == "Input" else {}
        return own | {n: e for operand in self.operands for n, e in operand.inputs().items()}


def signature(kernel: str, expression: Expression, output: Output, sizes: int) -> Signature:
    """What a kernel takes that makes something of an expression's elements."""
    inputs = (
        Input(name, array.dtype, layout.elements(array.sizes()), layout)
        for name, array in expression.inputs().items()
        for layout in [array.attribute("layout", PLAIN)]
    )
    numbers = tuple(Dim.symbol(extent(position)) for position in range(sizes))
    return Signature(kernel, (output, Flag(), *inputs), numbers)


def arguments(inputs: Sequence[Given], sizes: Sequence[Size]) -> dict[str, Given]:
    """Arrays by slot and sizes by number, by the names of the kernel's arguments."""
    named: dict[str, Given] = {_input(slot): value for slot, value in enumerate(inputs)}
    return named | {extent(position): size for position, size in enumerate(sizes)}


def _input(slot: int) -> str:
    return f"input{slot}"


def extent(position: int) -> str:
    """The name of a size that the kernel receives."""
    return f"d{position}"


@dataclass(frozen=True)
class Pointwise:
    """The kernel."""

    expression: Expression
    sizes: int
    """How many sizes the kernel receives, named by `extent`."""
    layout: Layout = PLAIN
    """How the output lies."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        room = self.layout.elements(self.expression.sizes())
        output = Output("output", self.expression.dtype, room, self.layout)
        return signature("Pointwise", self.expression, output, self.sizes)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        writer = Writer(self.expression, b)
        if isinstance(self.layout, Tokens):
            writer.write_tokens()
        elif isinstance(self.layout, Planes):
            writer.write_planes(self.layout)
        else:
            writer.write_rows(padded=self.layout == PADDED)


@dataclass(frozen=True)
class _Here:
    """Which element of a plane is being computed: its pixel, its vector and its lane."""

    layout: Planes
    row: Term
    column: Term
    t: Term
    s: Term
    lane: Term


class Writer:
    """Writes the loops and the elements; the rules of `runtime/ops/` call back into it."""

    def __init__(self, expression: Expression, b: KernelBuilder) -> None:
        self.b = b
        self.expression = expression
        self.output, self.flag = b.arguments("output", "flag")
        self.wrong = b.variable(b.i64(0))
        self._done: dict[Any, tuple[Term, Index]] = {}
        self._here: _Here | None = None

    def extents(self, expression: Expression) -> list[Term]:
        """The sizes of an expression's shape."""
        return [
            self.b.i64(size) if isinstance(size, int) else self.b.argument(size)
            for size in expression.shape
        ]

    def write_rows(self, padded: bool) -> None:
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
            low, high = b.own_share(rows)
            first, last = b.i64(0), width
        else:
            low, high = b.i64(0), b.i64(1)
            first, last = b.own_share(width)
        with b.loop(low, high) as row:
            index = self.unravel(row, outer)
            with b.loop(first, last) as column:
                inside = b.smaller(column, inner - 1) if padded else column
                place: Index = (*index, inside) if extents else ()
                self._store(self.element(self.expression, place), row * width + column)
        self.report()

    def write_tokens(self) -> None:
        """Tile by tile; lanes beyond the end of a sequence repeat its last token."""
        b = self.b
        *leading, tokens, channels = self.extents(self.expression)
        sequences = b.i64(1)
        for size in leading:
            sequences = sequences * size
        groups = (tokens + GROUP - 1) // GROUP
        tiles = (sequences * groups * GROUP + TILE - 1) // TILE
        low, high = b.own_share(tiles * (TILE // GROUP))
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

    def write_planes(self, layout: Planes) -> None:
        """Plane by plane, vector by vector; lanes that are no pixels get zeros."""
        b = self.b
        images, channels, *_ = self.extents(self.expression)
        low, high = b.own_share(images * channels * layout.down)
        zero = b.number(REGISTER_TYPES[self.expression.dtype], 0)
        with b.loop(low, high) as line:
            plane, t = line // layout.down, line % layout.down
            image, channel = plane // channels, plane % channels
            with b.loop(0, layout.across) as s, b.loop(0, GROUP) as lane:
                row = lane // layout.columns * layout.down + t
                column = lane % layout.columns * layout.across + s
                inside = (row < layout.height) & (column < layout.width)
                if not layout.exact:
                    row, column = (
                        b.smaller(row, layout.height - 1),
                        b.smaller(column, layout.width - 1),
                    )
                self._here = _Here(layout, row, column, t, s, lane)
                value = self.element(self.expression, (image, channel, row, column))
                if not layout.exact:
                    value = b.select(inside, value, zero)
                begin = plane * layout.plane + layout.place(0, 0)
                self._store(value, begin + (t * layout.pitch + s) * GROUP + lane)
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
            return b.argument(expression.attribute("name"))
        if expression.op == "Constant":
            return b.number(REGISTER_TYPES[expression.dtype], expression.attribute("value"))
        if expression.op == "Sizes":
            return self._sizes(expression, index)
        assert expression.rule is not None, f"{expression.op} has no rule for elements"
        return expression.rule(self, expression, index)

    def _sizes(self, expression: Expression, index: Index) -> Term:
        """A small integer tensor that depends on shapes only, one operand an element."""
        place = self.b.i64(0)
        for size, term in zip(self.extents(expression), index, strict=True):
            place = place * size + term
        first, *rest = (self.element(operand, ()) for operand in expression.operands)
        result = first
        for position, term in enumerate(rest, start=1):
            result = self.b.select(place.compare("==", position), term, result)
        return result

    def only(self, expression: Expression) -> Term:
        """The element of what has one, of whatever rank."""
        return self.element(expression, tuple(self.b.i64(0) for _ in expression.shape))

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
            place = self._place_in_planes(layout, extents[1], index)
        else:
            place = b.i64(0)
            for size, term in zip(extents, index, strict=True):
                place = place * size + term
        kind = MEMORY_TYPES[expression.dtype]
        array = b.argument(_input(expression.attribute("slot")))
        value = b.load(b.at(array, place, kind), kind)
        return value.compare("!=", 0) if expression.dtype == "bool" else value

    def _place_in_planes(self, layout: Planes, channels: Term, index: Index) -> Term:
        image, channel, row, column = index
        begin = (image * channels + channel) * layout.plane + layout.place(0, 0)
        here = self._here
        same = here is not None and here.row is row and here.column is column
        if here is not None and same and meeting(here.layout) == meeting(layout):
            # The same lane of the same vector, which LLVM then loads whole.
            return begin + (here.t * layout.pitch + here.s) * GROUP + here.lane
        lane = row // layout.down * layout.columns + column // layout.across
        t, s = row % layout.down, column % layout.across
        return begin + (t * layout.pitch + s) * GROUP + lane

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
