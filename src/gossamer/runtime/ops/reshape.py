"""Reshape, Flatten, Squeeze, Unsqueeze: the same elements under another shape."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.operation import axes_of, shape_of
from gossamer.graphs.ops.reshape import squeezed_axes
from gossamer.runtime.codegen.builder import Term
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expressions import movement
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression, Index, Writer
from gossamer.runtime.native import Attributes, Native, Operands
from gossamer.runtime.onnx_import import why_unknown
from gossamer.runtime.steps import Alias


def _reason(node: Node) -> str:
    return "" if node.output.known and node.source(0).known else why_unknown(node)


def _lowered(node: Node, target: Target) -> Sequence[Alias]:
    return [Alias(node.source(0), node.output)]


def _insert_axes(w: Writer, expression: Expression, index: Index) -> Term:
    dropped = expression.attribute("axes")
    kept = tuple(term for axis, term in enumerate(index) if axis not in dropped)
    return w.element(expression.operands[0], kept)


def _remove_axes(w: Writer, expression: Expression, index: Index) -> Term:
    source = list(index)
    for axis in sorted(expression.attribute("axes")):
        source.insert(axis, w.b.i64(0))
    return w.element(expression.operands[0], tuple(source))


def _unsqueeze(node: Node) -> tuple[Operands, Attributes]:
    axes = axes_of(node, 1, len(shape_of(node.output)))
    return [node.source(0)], (("axes", tuple(axes or ())),)


def _squeeze(node: Node) -> tuple[Operands, Attributes]:
    return [node.source(0)], (("axes", tuple(squeezed_axes(node))),)


_ALIAS = Native(_reason, lower=_lowered, is_alias=True)

NATIVE = {
    "Reshape": _ALIAS,
    "Flatten": _ALIAS,
    "Unsqueeze": movement(_insert_axes, _unsqueeze, is_cheap=True),
    "Squeeze": movement(_remove_axes, _squeeze, is_cheap=True),
}
