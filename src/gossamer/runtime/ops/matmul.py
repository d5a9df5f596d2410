"""MatMul: products of matrices, or of batches of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gossamer.graphs.dims import Size, product
from gossamer.graphs.operation import shape_of
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.matmul import MatMul
from gossamer.runtime.native import Native
from gossamer.runtime.reasons import float32_reason
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call


def _expanded(e: Expansion, node: Node) -> Sequence[Value] | None:
    left, right = node.source(0), node.source(1)
    if len(shape_of(left)) == 1:
        left = e("Unsqueeze", left, e.sizes([0]))
    if len(shape_of(right)) == 1:
        right = e("Unsqueeze", right, e.sizes([1]))
    if (left, right) != (node.source(0), node.source(1)):
        return [e.reshaped(e("MatMul", left, right), shape_of(node.output))]
    if left.dtype == np.float32:
        return None
    # Other types are too rare for a kernel: a sum of products, fused.
    rank = len(shape_of(left))
    left = e("Unsqueeze", left, e.sizes([rank]))
    right = e("Unsqueeze", right, e.sizes([len(shape_of(right)) - 2]))
    return [e.reduced("ReduceSum", e("Mul", left, right), [-2], keepdims=False)]


def _reason(node: Node) -> str:
    if reason := float32_reason(node):
        return reason
    ranks = [len(shape_of(value)) for value in node.inputs]
    return "" if min(ranks) >= 2 else "no lowering for a product of vectors"


def _lowered(node: Node, target: Target) -> Sequence[Call]:
    left, right, output = node.source(0), node.source(1), node.output
    *batch, rows, columns = shape_of(output)
    kernel = MatMul(len(batch))

    def named(name: str, sizes: Sequence[Size]) -> dict[str, Given]:
        return dict(zip(map(str, kernel.of_axes(name)), sizes, strict=True))

    def steps(value: Value) -> list[Size]:
        """Matrices from one to the next along each axis of the batch; 0 where there is one."""
        own = shape_of(value)[:-2]
        own = (*[1] * (len(batch) - len(own)), *own)
        return [0 if size == 1 else product(own[axis + 1 :]) for axis, size in enumerate(own)]

    given: dict[str, Given] = {"left": left, "right": right, "output": output}
    given |= {"rows": rows, "inner": shape_of(left)[-1], "columns": columns}
    given |= named("size", batch) | named("left_step", steps(left))
    given |= named("right_step", steps(right))
    return [call(kernel, "dense product", target, node, given)]


NATIVE = {"MatMul": Native(_reason, _expanded, lower=_lowered)}
