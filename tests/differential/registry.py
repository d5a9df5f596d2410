"""What can be added to a model: operators and patterns, each a function that takes the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from differential.builder import Graph, Refused
from differential.oracle import NEWEST

OLDEST = 7

Rule: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Growth:
    """One way to let a model grow."""

    name: str
    rule: Rule
    op: str
    """The operator that it is there for; empty for a pattern."""
    weight: float
    domain: str = ""
    since: int = OLDEST
    until: int = NEWEST

    def grow(self, graph: Graph) -> None:
        """Add it to a graph.

        Raises:
            Refused: where it does not fit.
        """
        if self.op:
            self.rule(graph, self.op)
        else:
            self.rule(graph)


GROWTHS: list[Growth] = []

_OFTEN = {
    1.3: "AveragePool Expand Gemm Reshape Resize Slice Softmax",
    1.6: "And Clip Elu GlobalAveragePool GlobalMaxPool IsInf LessOrEqual LogSoftmax Neg Or Pad "
    "Relu Sign Trilu Unsqueeze Xor",
    2.0: "Acosh ArgMin Atan BitwiseXor Cast CastLike Ceil Celu Cos CumSum DepthToSpace Exp "
    "Flatten Floor GatherND Greater GreaterOrEqual GroupNormalization InstanceNormalization "
    "IsNaN LayerNormalization Less LpNormalization Reciprocal ReduceL2 ReduceMax ReduceMin "
    "ReduceSumSquare Round Selu Sin Sinh Softplus Softsign Squeeze Upsample",
    2.3: "Acos ArgMax Asin Asinh BitwiseAnd BitwiseNot BitwiseOr ConvTranspose Cosh Equal "
    "GatherElements Gelu HardSwish Identity Log Max Mean MeanVarianceNormalization Mish Mod "
    "Not PRelu Pow RMSNormalization ReduceL1 ReduceLogSum ReduceProd ReduceSum Shrink "
    "SpaceToDepth Split ThresholdedRelu Tile",
    2.8: "Atanh Dropout LRN Min ReduceLogSumExp Sum",
    3.2: "ConstantOfShape Range Tan",
    4.1: "Hardmax OneHot",
    8.5: "Swish",
}
"""What is refused more often, or is often of a type that has no kernel, comes so many times as
often, that all get their share."""


def _share(op: str) -> float:
    return next((times for times, ops in _OFTEN.items() if op in ops.split()), 1.0)


def operators(names: str, weight: float = 1.0) -> Callable[[Rule], Rule]:
    """Enter a rule for some operators of ONNX; it takes the graph and the operator's name."""

    def enter(rule: Rule) -> Rule:
        for name in names.split():
            GROWTHS.append(Growth(name, rule, name, weight * _share(name)))
        return rule

    return enter


def pattern(weight: float, since: int = OLDEST, until: int = NEWEST) -> Callable[[Rule], Rule]:
    """Enter a rule for several nodes that belong together."""

    def enter(rule: Rule) -> Rule:
        name = rule.__name__.strip("_")
        GROWTHS.append(Growth(name, rule, "", weight, since=since, until=until))
        return rule

    return enter


@functools.cache
def version(op: str, opset: int) -> int | None:
    """The operator set that last defined an operator anew, None if there is none in force."""
    try:
        schema = onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else int(schema.since_version)


@functools.cache
def _reign(op: str, since: int) -> int:
    """For how many of the operator sets a definition is in force."""
    return sum(version(op, opset) == since for opset in range(OLDEST, NEWEST + 1))


@functools.cache
def weights(opset: int) -> tuple[tuple[Growth, float], ...]:
    """What there is at an operator set, and how often.

    A definition that is in force for few operator sets comes more often at each of them, so that
    all get about the same number of tests.
    """
    found = []
    for growth in GROWTHS:
        if not growth.since <= opset <= growth.until:
            continue
        if not growth.op:
            found.append((growth, growth.weight / (growth.until - growth.since + 1)))
            continue
        since = version(growth.op, opset)
        if since is not None:
            found.append((growth, growth.weight / _reign(growth.op, since)))
    return tuple(found)


def definitions() -> list[tuple[str, int]]:
    """Every operator here, at each operator set that defines it anew."""
    return sorted(
        {
            (growth.op, since)
            for growth in GROWTHS
            if growth.op
            for opset in range(OLDEST, NEWEST + 1)
            if (since := version(growth.op, opset)) is not None
        }
    )


__all__ = [
    "GROWTHS",
    "Graph",
    "Growth",
    "Refused",
    "definitions",
    "operators",
    "pattern",
    "weights",
]
