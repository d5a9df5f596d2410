"""How the axes of a node's inputs and outputs correspond.

Each axis is a product of labels, the last of which runs fastest: `(heads, dim)` is an axis that a
reshape splits, `()` one of a single element, which broadcasts. Labels are the same object wherever
they mean the same positions. A label that only inputs have is summed over, one that only outputs
have is a repetition; an axis may also consist of several parts, one after the other (`Joined`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gossamer.graphs.dims import Size, UnknownSize, divide
from gossamer.graphs.operation import Operand, Operation, Shape, known_shape, shape_of


@dataclass(frozen=True, eq=False)
class Label:
    """Positions that run through several axes; compared by identity."""

    size: Size


Product: TypeAlias = tuple[Label, ...]


@dataclass(frozen=True)
class Joined:
    """An axis of parts that lie one after the other."""

    parts: tuple[Product, ...]


Axis: TypeAlias = "Product | Joined"
Labelled: TypeAlias = "tuple[Axis, ...] | None"


@dataclass(frozen=True)
class Axes:
    """The axes of a node, labelled; None for an operand that has no part in it.

    Permuting the positions of a label that is not `opaque`, in all operands alike, permutes the
    output. Along a label that is neither opaque nor `mixed` each position has a result of its own,
    or what belongs to it is one term of a sum.
    """

    inputs: tuple[Labelled, ...]
    outputs: tuple[Labelled, ...]
    mixed: frozenset[Label] = frozenset()
    """Labels along which each element of the output depends on all positions (Softmax)."""
    opaque: frozenset[Label] = frozenset()
    """Labels whose positions mean something: pixels, rows of a table, steps in time."""


def labels(shape: Sequence[Size]) -> tuple[Product, ...]:
    """A label for each axis that is longer than 1."""
    return tuple(() if size == 1 else (Label(size),) for size in shape)


def labels_of(axes: Iterable[Axis]) -> frozenset[Label]:
    """All labels of some axes."""
    parts = [part for axis in axes for part in _parts(axis)]
    return frozenset(label for part in parts for label in part)


def _parts(axis: Axis) -> Sequence[Product]:
    return axis.parts if isinstance(axis, Joined) else [axis]


def aligned(shape: Shape | None, axes: Sequence[Axis]) -> Labelled:
    """The axes of an operand that broadcasts to labelled ones (NumPy's rule)."""
    if shape is None or len(shape) > len(axes):
        return None
    kept = axes[len(axes) - len(shape) :]
    return tuple(() if size == 1 else axis for size, axis in zip(shape, kept, strict=True))


def elementwise(node: Operation, opset: int) -> Axes:
    """Operands that broadcast to the output."""
    del opset
    out = labels(shape_of(node.output))
    given = tuple(aligned(known_shape(value), out) for value in node.inputs)
    return Axes(given, (out,))


def along(node: Operation, opset: int) -> Axes:
    """The first input's axes are those of every output; other inputs have no part in it."""
    del opset
    axes = labels(shape_of(node.input(0)))
    return Axes((axes, *[None] * (len(node.inputs) - 1)), tuple(axes for _ in node.outputs))


def mixing(node: Operation, axes: Iterable[int]) -> Axes:
    """The first input's axes are the output's, which depends on all of what lies along some."""
    given = labels(shape_of(node.input(0)))
    mixed = labels_of(given[axis] for axis in axes)
    none = [None] * (len(node.inputs) - 1)
    return Axes((given, *none), (given, *[None] * (len(node.outputs) - 1)), mixed=mixed)


def made(node: Operation, opset: int) -> Axes:
    """The outputs come of no input's axes."""
    del opset
    outputs = tuple(_labels_of(value) for value in node.outputs)
    found = labels_of(axis for axes in outputs for axis in axes or ())
    return Axes(tuple(None for _ in node.inputs), outputs, opaque=found)


def _labels_of(value: Operand) -> Labelled:
    return None if value.shape is None else labels(value.shape)


def regrouped(source: Shape, result: Shape) -> Axes:
    """The same elements under another shape: axes split and merged as far as their sizes divide."""
    taken: list[list[Label]] = [[] for _ in source]
    given: list[list[Label]] = [[] for _ in result]
    i, j = len(source) - 1, len(result) - 1
    left: Size = source[i] if source else 1
    right: Size = result[j] if result else 1
    opaque: frozenset[Label] = frozenset()
    while True:
        # The sizes that are left of the axes at hand; those of 1 are done with.
        while i >= 0 and left == 1:
            i -= 1
            left = source[i] if i >= 0 else 1
        while j >= 0 and right == 1:
            j -= 1
            right = result[j] if j >= 0 else 1
        if i < 0 or j < 0:
            break
        shared = _divisor(left, right)
        if shared is None:
            opaque = _apart(taken, source[: i + 1], left) | _apart(given, result[: j + 1], right)
            break
        label = Label(shared)
        taken[i].insert(0, label)
        given[j].insert(0, label)
        left, right = divide(left, shared), divide(right, shared)
    return Axes((tuple(map(tuple, taken)),), (tuple(map(tuple, given)),), opaque=opaque)


def _apart(axes: Sequence[list[Label]], sizes: Sequence[Size], left: Size) -> frozenset[Label]:
    """Give the first axes labels of their own, of which the last has so much left."""
    made = [Label(size) for size in (*sizes[:-1], left)]
    for axis, label in zip(axes, made, strict=False):
        axis.insert(0, label)
    return frozenset(made)


def _divisor(left: Size, right: Size) -> Size | None:
    """The smaller of two sizes, if it divides the other."""
    for size, by in ((left, right), (right, left)):
        try:
            if size != 0 and by != 0:
                divide(size, by)
                return by
        except UnknownSize:
            pass
    return None
