"""What the rule for the elements of a node takes: its operands, and attributes in plain form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from gossamer.graphs.dims import Size, UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import axes_of, content_of, dtype_of, shape_of
from gossamer.graphs.ops.pad import pads_of
from gossamer.graphs.ops.reshape import squeezed_axes
from gossamer.graphs.ops.slice import slices
from gossamer.graphs.ops.transpose import permutation
from gossamer.runtime.graph import Node, Value, constant, scalar

Operands: TypeAlias = "list[Value | Size]"
Attributes: TypeAlias = "tuple[tuple[str, Any], ...]"


def operands_of(node: Node) -> tuple[Operands, Attributes]:
    """Values or sizes, and attributes that can be hashed.

    Raises:
        UnknownSize: where there is no rule for such a node, with the reason.
    """
    if node.op in _RULES:
        return _RULES[node.op](node)
    attributes = tuple(
        sorted((name, value) for name, value in node.attributes.items() if name in _KEPT)
    )
    return _values(node.inputs), attributes


# Numbers and words that the rules for elements read.
_KEPT = {
    *("alpha", "approximate", "beta", "bias", "detect_negative", "detect_positive", "fmod"),
    *("gamma", "lambd"),
}


def _values(values: Iterable[Value | None]) -> Operands:
    kept: Operands = []
    for value in values:
        if value is None:
            raise UnknownSize("an operand is left out")
        kept.append(value)
    return kept


def _first(node: Node) -> tuple[Operands, Attributes]:
    return [node.source(0)], ()


def _transpose(node: Node) -> tuple[Operands, Attributes]:
    order = permutation(node, len(shape_of(node.source(0))))
    return [node.source(0)], (("perm", tuple(order)),)


def _unsqueeze(node: Node) -> tuple[Operands, Attributes]:
    axes = axes_of(node, 1, len(shape_of(node.output)))
    return [node.source(0)], (("axes", tuple(axes or ())),)


def _squeeze(node: Node) -> tuple[Operands, Attributes]:
    return [node.source(0)], (("axes", tuple(squeezed_axes(node))),)


def _hidden(node: Node) -> tuple[Operands, Attributes]:
    """What a pass made bears its attributes in plain form."""
    return [node.source(0)], tuple(sorted(node.attributes.items()))


def _constant_of_shape(node: Node) -> tuple[Operands, Attributes]:
    given = node.attributes.get("value", np.zeros(1, np.float32))
    return [constant("", given.reshape(()))], ()


def _slice(node: Node) -> tuple[Operands, Attributes]:
    cuts = slices(node, Inferred(0, []))
    named = tuple((axis, step) for axis, _, step, _ in cuts)
    return [node.source(0), *(start for _, start, _, _ in cuts)], (("cuts", named),)


def _concat(node: Node) -> tuple[Operands, Attributes]:
    rank = len(shape_of(node.source(0)))
    return _values(node.inputs), (("axis", node.attributes["axis"] % rank),)


def _gather(node: Node) -> tuple[Operands, Attributes]:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", 0) % len(shape)
    size, indices = shape[axis], node.source(1).data
    # Indices that are constants need no look at each run.
    proved = isinstance(size, int) and indices is not None and indices.size > 0
    if proved and indices is not None:
        proved = bool(indices.min() >= 0 and indices.max() < size)
    return _values(node.inputs), (("axis", axis), ("proved", proved))


def _gather_elements(node: Node) -> tuple[Operands, Attributes]:
    axis = node.attributes.get("axis", 0) % len(shape_of(node.source(0)))
    rest = [shape_of(v)[:axis] + shape_of(v)[axis + 1 :] for v in node.inputs]
    if rest[0] != rest[1]:
        raise UnknownSize("no lowering for GatherElements of a part of the other axes")
    return _values(node.inputs), (("axis", axis),)


def _gather_nd(node: Node) -> tuple[Operands, Attributes]:
    batch = node.attributes.get("batch_dims", 0)
    if shape_of(node.source(0))[:batch] != shape_of(node.source(1))[:batch]:
        raise UnknownSize("no lowering for GatherND whose batch axes differ")
    return _values(node.inputs), (("batch", batch),)


def _range(node: Node) -> tuple[Operands, Attributes]:
    if node.output.dtype != np.int64:
        raise UnknownSize(f"no lowering for Range of {node.output.dtype}")
    (start,), (step,) = (content_of(node.input(i)) for i in (0, 2))
    return [start, step], ()


def _clip(node: Node) -> tuple[Operands, Attributes]:
    x = node.source(0)
    operands: Operands = [x]
    names = []
    for position, (name, attribute) in enumerate((("low", "min"), ("high", "max")), start=1):
        value, given = node.input(position), node.attributes.get(attribute)
        if value is None and given is None and dtype_of(x).kind == "f":
            # Without a bound it is the last finite number, which infinities become.
            given = getattr(np.finfo(dtype_of(x)), attribute)
        if value is None and given is not None:
            value = constant("", np.asarray(given, x.dtype))
        if value is not None:
            names.append(name)
            operands.append(value)
    return operands, (("bounds", tuple(names)),)


def _power(node: Node) -> tuple[Operands, Attributes]:
    exponent = scalar(node.input(1))
    return _values(node.inputs), (() if exponent is None else (("exponent", exponent),))


def _equal(node: Node) -> tuple[Operands, Attributes]:
    if str(node.source(0).dtype) == "bool":
        raise UnknownSize("no lowering for Equal of bool")
    return _values(node.inputs), ()


def _pad(node: Node) -> tuple[Operands, Attributes]:
    x = node.source(0)
    before, after = pads_of(node)
    mode = node.attributes.get("mode", "constant")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise UnknownSize(f"no lowering for Pad of mode {mode}")
    # Comparisons raise where an open size decides.
    if mode in ("reflect", "wrap") and any(size < 0 for size in (*before, *after)):
        raise UnknownSize(f"no lowering for Pad of mode {mode} that takes away")
    if not all(size > 0 for size in shape_of(x)):
        raise UnknownSize("no lowering for Pad of what is empty")
    given = node.input(2)
    fill = given or constant("", np.asarray(node.attributes.get("value", 0), x.dtype))
    if any(size != 1 for size in shape_of(fill)):
        raise UnknownSize("a pad with several elements")
    return [x, fill, *before], (("mode", mode),)


def _triangle(node: Node) -> tuple[Operands, Attributes]:
    given = node.input(1)
    diagonal = given if given is not None else 0
    if given is not None and any(size != 1 for size in shape_of(given)):
        raise UnknownSize("a triangle with several diagonals")
    return [node.source(0), diagonal], (("upper", node.attributes.get("upper", 1)),)


_RULES: dict[str, Callable[[Node], tuple[Operands, Attributes]]] = {
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Expand": _first,
    "Identity": _first,
    "Tile": _first,
    "Windows": _hidden,
    "ConstantOfShape": _constant_of_shape,
    "Slice": _slice,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Range": _range,
    "Clip": _clip,
    "Pow": _power,
    "Equal": _equal,
    "Pad": _pad,
    "Trilu": _triangle,
}
