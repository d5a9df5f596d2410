"""Logic on truth values and on bits, element by element."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.expressions import Compute, are_alike, binary, elementwise, unary
from gossamer.runtime.graph import Node
from gossamer.runtime.native import Native


def _are_truths(node: Node) -> bool:
    return {value.dtype for value in node.inputs if value is not None} == {np.dtype(bool)}


def _are_whole(node: Node) -> bool:
    kind = node.source(0).dtype
    return kind is not None and kind.kind == "i" and are_alike(node)


def _truths(compute: Compute) -> Native:
    return elementwise(compute, fits=_are_truths)


def _bits(compute: Compute) -> Native:
    return elementwise(compute, fits=_are_whole)


NATIVE = {
    "And": _truths(binary(lambda x, y: x & y)),
    "Or": _truths(binary(lambda x, y: x | y)),
    "Xor": _truths(binary(lambda x, y: x ^ y)),
    "Not": _truths(unary(lambda b, x: x ^ 1)),
    "BitwiseAnd": _bits(binary(lambda x, y: x & y)),
    "BitwiseOr": _bits(binary(lambda x, y: x | y)),
    "BitwiseXor": _bits(binary(lambda x, y: x ^ y)),
    "BitwiseNot": _bits(unary(lambda b, x: x ^ -1)),
}
