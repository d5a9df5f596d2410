"""Where: one of two elements, by a condition."""

from __future__ import annotations

from typing import Any

from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.expressions import elementwise
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels.pointwise import Expression


def _chosen(b: Builder, expression: Expression, kind: Any, test: Term, x: Term, y: Term) -> Term:
    return b.select(test, x, y)


def _fits(node: Node) -> bool:
    types = [str(value.dtype) for value in node.inputs if value is not None]
    return len(types) == 3 and types[0] == "bool" and types[1] == types[2]


NATIVE = {"Where": elementwise(_chosen, fits=_fits)}
