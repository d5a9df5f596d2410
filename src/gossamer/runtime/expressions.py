"""Operators whose output is an expression in elements of their inputs: what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from gossamer.graphs.dims import UnknownSize
from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.pointwise import REGISTER_TYPES, Expression, Index, Rule, Writer
from gossamer.runtime.native import Attributes, Native, Operands
from gossamer.runtime.onnx_import import why_unknown

Compute: TypeAlias = Callable[..., Term]
"""(builder, expression, type of the result, operands ...) -> element."""

# Numbers and words that the rules for elements read.
_KEPT = {
    *("alpha", "approximate", "beta", "bias", "detect_negative", "detect_positive", "fmod"),
    *("gamma", "lambd"),
}


def elementwise(
    compute: Compute,
    *,
    floats: bool = False,
    fits: Callable[[Node], bool] | None = None,
    operands: Callable[[Node], tuple[Operands, Attributes]] | None = None,
    is_cheap: bool = False,
) -> Native:
    """An operator whose element depends on those at its own place.

    Args:
        compute: the element.
        floats: whether it runs natively on floats only; on integers it is rare.
        fits: whether the operands' types are such as it takes; by default all are of one, no truth.
        operands: by default all inputs, and the attributes that rules read.
        is_cheap: rather computed again than stored.
    """

    def element(w: Writer, expression: Expression, index: Index) -> Term:
        terms = [w.broadcast(operand, index) for operand in expression.operands]
        return compute(w.b, expression, REGISTER_TYPES[expression.dtype], *terms)

    taken = operands or all_operands
    return Native(
        _reason(fits or are_alike, taken, floats=floats),
        element=element,
        operands=taken,
        lies="anywhere",
        is_elementwise=True,
        is_cheap=is_cheap,
    )


def movement(
    rule: Rule,
    operands: Callable[[Node], tuple[Operands, Attributes]],
    *,
    fits: Callable[[Node], bool] = lambda node: True,
    is_cheap: bool = False,
) -> Native:
    """An operator that gives elements of its inputs at other places."""
    return Native(
        _reason(fits, operands, floats=False),
        element=rule,
        operands=operands,
        lies="anywhere",
        is_cheap=is_cheap,
    )


def repeated(w: Writer, expression: Expression, index: Index) -> Term:
    """The element that broadcasting the first operand puts at an index."""
    return w.broadcast(expression.operands[0], index)


def unary(function: Callable[[Builder, Term], Term]) -> Compute:
    """A function of one operand."""
    return lambda b, expression, kind, x: function(b, x)


def binary(operate: Callable[[Term, Term], Term]) -> Compute:
    """An operation on two operands."""
    return lambda b, expression, kind, x, y: operate(x, y)


def intrinsic(name: str) -> Compute:
    """One of LLVM's functions."""
    return lambda b, expression, kind, x: b.intrinsic(name, x)


def numbered(function: Callable[..., Term], **defaults: float) -> Compute:
    """A function of one operand and numbers, which ONNX has defaults for."""

    def compute(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
        numbers = [expression.attribute(name, number) for name, number in defaults.items()]
        return function(b, x, *numbers)

    return compute


def all_operands(node: Node) -> tuple[Operands, Attributes]:
    """Every input, and the attributes that rules read."""
    kept = sorted((name, value) for name, value in node.attributes.items() if name in _KEPT)
    return values(node.inputs), tuple(kept)


def first_operand(node: Node) -> tuple[Operands, Attributes]:
    """The first input alone."""
    return [node.source(0)], ()


def values(given: Iterable[Value | None]) -> Operands:
    """Operands none of which may be left out."""
    kept: Operands = []
    for value in given:
        if value is None:
            raise UnknownSize("an operand is left out")
        kept.append(value)
    return kept


def are_of_one_type(node: Node) -> bool:
    """Whether all operands are of one type."""
    return len({value.dtype for value in node.inputs if value is not None}) == 1


def are_alike(node: Node) -> bool:
    """Whether all operands are of one type, and no truth values."""
    return are_of_one_type(node) and str(node.source(0).dtype) != "bool"


def are_indexed(node: Node) -> bool:
    """Whether the second of two operands holds indices."""
    types = [value.dtype for value in node.inputs if value is not None]
    return len(types) == 2 and types[1] is not None and types[1].kind == "i"


def _reason(
    fits: Callable[[Node], bool],
    operands: Callable[[Node], tuple[Operands, Attributes]],
    *,
    floats: bool,
) -> Callable[[Node], str]:
    def reason(node: Node) -> str:
        given = [*node.inputs, *node.outputs]
        if any(value is not None and not value.known for value in given):
            return why_unknown(node)
        for value in given:
            if value is not None and str(value.dtype) not in REGISTER_TYPES:
                return f"no lowering for type {value.dtype}"
        if "broadcast" in node.attributes:
            return f"no lowering for {node.op} as operator sets before 7 have it"
        if not any(node.inputs):
            return "an operator without operands"
        if not fits(node):
            return f"no lowering for {node.op} of these types"
        kind = str(node.source(0).dtype)
        if floats and not kind.startswith("float"):
            return f"no lowering for {node.op} of {kind}"
        try:
            operands(node)
        except UnknownSize as why:
            return str(why)
        return ""

    return reason
