"""The elements of small integer tensors that hold sizes, so that reshapes are known before a run.

Exporters compute shapes with ordinary operators (Shape, Gather, Concat, ...). Each rule applies
such an operator to elements that are numbers or sizes of the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import Dim, UnknownSize, equal, product
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.movement_shapes import slices
from gossamer.runtime.shapes import (
    Inferred,
    bounds_of,
    content_of,
    fixed,
    numbers_of,
    shape_of,
)

Content: TypeAlias = NDArray[np.object_]

_WIDE = (np.dtype(np.int32), np.dtype(np.int64))
LIMIT = 64
"""Elements; what is larger holds no sizes."""


def _shape_content(node: Node, inferred: Inferred) -> Content:
    return _objects(shape_of(node.input(0))[bounds_of(node)])


def _objects(items: Sequence[Any]) -> Content:
    result = np.empty(len(items), object)
    result[:] = items
    return result


def _array(value: Value | None) -> Content:
    if value is None or value.content is None:
        raise UnknownSize("an integer tensor is computed from data")
    return value.content


def _with(function: Callable[..., Any]) -> Callable[[Node, Inferred], Content]:
    def rule(node: Node, inferred: Inferred) -> Content:
        result = function(*(_array(value) for value in node.inputs))
        return np.asarray(result, dtype=object)

    return rule


def _content_gather(node: Node, inferred: Inferred) -> Content:
    indices = np.array(_array(node.input(1)), dtype=np.int64)
    source = _array(node.input(0))
    axis = node.attributes.get("axis", 0)
    if indices.size and not (
        -source.shape[axis] <= indices.min() <= indices.max() < source.shape[axis]
    ):
        raise UnknownSize("a gather points outside")
    return np.asarray(np.take(source, indices, axis=axis), dtype=object)


def _content_concat(node: Node, inferred: Inferred) -> Content:
    parts = [_array(value) for value in node.inputs]
    return np.concatenate(parts, axis=node.attributes["axis"])


def _content_reshaped(node: Node, inferred: Inferred) -> Content:
    return _array(node.input(0)).reshape(fixed(shape_of(node.output)))


def _content_slice(node: Node, inferred: Inferred) -> Content:
    result = _array(node.input(0))
    for axis, start, step, count in slices(node, inferred):
        first, number = fixed([start, count])
        result = np.take(result, np.arange(number) * step + first, axis=axis)
    return result


def _content_cast(node: Node, inferred: Inferred) -> Content:
    source, dtype = _array(node.input(0)), node.output.dtype
    if dtype == np.bool_:
        return np.asarray(np.frompyfunc(lambda item: not equal(item, 0), 1, 1)(source), object)
    if dtype not in _WIDE and any(isinstance(item, Dim) for item in source.reshape(-1)):
        raise UnknownSize("a size may not fit its type")
    return source


def _content_filled(node: Node, inferred: Inferred) -> Content:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    shape = numbers_of(node.input(0))
    if math.prod(shape) > LIMIT:
        raise UnknownSize("too large to hold sizes")
    return np.full(shape, int(value.reshape(-1)[0]), dtype=object)


def _content_expand(node: Node, inferred: Inferred) -> Content:
    shape = fixed(shape_of(node.output))
    if math.prod(shape) > LIMIT:
        raise UnknownSize("too large to hold sizes")
    return np.broadcast_to(_array(node.input(0)), shape)


def _divide(left: Content, right: Content) -> Any:
    # ONNX rounds towards zero, Python downwards: the same where nothing is negative.
    if any(item < 0 for item in left.reshape(-1)) or any(item <= 0 for item in right.reshape(-1)):
        raise UnknownSize("a division of negative sizes or by zero")
    return left // right


def _equal(left: Content, right: Content) -> Any:
    return np.frompyfunc(equal, 2, 1)(left, right)


def _choose(condition: Content, yes: Content, no: Content) -> Any:
    return np.frompyfunc(lambda c, a, b: a if c else b, 3, 1)(condition, yes, no)


def _content_reduce_product(node: Node, inferred: Inferred) -> Content:
    return _objects([product(content_of(node.input(0)))]).reshape(fixed(shape_of(node.output)))


CONTENT: dict[str, Callable[[Node, Inferred], Content | None]] = {
    "Shape": _shape_content,
    "Gather": _content_gather,
    "Concat": _content_concat,
    "Slice": _content_slice,
    "Cast": _content_cast,
    "ConstantOfShape": _content_filled,
    "Expand": _content_expand,
    "Reshape": _content_reshaped,
    "Unsqueeze": _content_reshaped,
    "Squeeze": _content_reshaped,
    "Flatten": _content_reshaped,
    "Identity": _with(lambda x: x),
    "Add": _with(lambda x, y: x + y),
    "Sub": _with(lambda x, y: x - y),
    "Mul": _with(lambda x, y: x * y),
    "Neg": _with(lambda x: -x),
    "Div": _with(_divide),
    "Equal": _with(_equal),
    "Where": _with(_choose),
    "ReduceProd": _content_reduce_product,
}
"""Applied where every input holds sizes; the result replaces the node where it is constant."""
