"""Gemm: a product of two matrices, either of them transposed, and a sum."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _expanded(e: Expansion, node: Node) -> Sequence[Value]:
    left, right, added = node.source(0), node.source(1), node.input(2)
    given = node.attributes
    if given.get("transA", 0):
        left = e("Transpose", left, perm=[1, 0])
    if given.get("transB", 0):
        right = e("Transpose", right, perm=[1, 0])
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    if alpha != 1:
        right = e("Mul", right, e.like(right, alpha))
    result = e("MatMul", left, right)
    # What is multiplied by 0 is not looked at, whatever it holds.
    if added is not None and beta != 0:
        if beta != 1:
            added = e("Mul", added, e.like(added, beta))
        result = e("Add", result, added)
    return [result]


NATIVE = {"Gemm": Native(expand=_expanded)}
