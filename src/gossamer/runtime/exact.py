"""Operators on constants, by NumPy, where every implementation must give the same bits.

They move elements, or are arithmetic that IEEE 754 or wrapping integers leave no choice in. Rules
take a node whose inputs are constant and whose outputs have their types and shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.runtime.graph import Array, Node
from gossamer.runtime.movement_shapes import parts_of, slices
from gossamer.runtime.shapes import Inferred, fixed, permutation, shape_of

Rule: TypeAlias = Callable[[Node, Inferred], "list[Array]"]


def _array(node: Node, index: int) -> Array:
    data = node.source(index).data
    assert data is not None
    return data


def _arrays(node: Node) -> list[Array]:
    return [_array(node, index) for index in range(len(node.inputs))]


# Movement


def _identity(node: Node, inferred: Inferred) -> list[Array]:
    return [_array(node, 0)]


def _reshaped(node: Node, inferred: Inferred) -> list[Array]:
    return [_array(node, 0).reshape(fixed(shape_of(node.output)))]


def _transpose(node: Node, inferred: Inferred) -> list[Array]:
    x = _array(node, 0)
    return [x.transpose(permutation(node, x.ndim))]


def _slice(node: Node, inferred: Inferred) -> list[Array]:
    x = _array(node, 0)
    for axis, begin, step, count in slices(node, inferred):
        start, number = fixed([begin, count])
        end = start + number * step
        cut = slice(start, end if end >= 0 else None, step) if number else slice(0)
        x = x[(slice(None),) * axis + (cut,)]
    # A view of a small part would keep all of it.
    return [x if 2 * x.size >= _array(node, 0).size else x.copy()]


def _split(node: Node, inferred: Inferred) -> list[Array]:
    ends = np.cumsum(fixed(parts_of(node)))[:-1]
    return list(np.split(_array(node, 0), ends, axis=node.attributes.get("axis", 0)))


def _concat(node: Node, inferred: Inferred) -> list[Array]:
    return [np.concatenate(_arrays(node), axis=node.attributes["axis"])]


def _expand(node: Node, inferred: Inferred) -> list[Array]:
    return [np.array(np.broadcast_to(_array(node, 0), fixed(shape_of(node.output))))]


def _gather(node: Node, inferred: Inferred) -> list[Array]:
    x, indices = _array(node, 0), _array(node, 1)
    axis = node.attributes.get("axis", 0)
    if indices.size and not -x.shape[axis] <= indices.min() <= indices.max() < x.shape[axis]:
        raise UnknownSize("a gather points outside")
    return [np.asarray(np.take(x, indices, axis=axis))]


def _filled(node: Node, inferred: Inferred) -> list[Array]:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return [np.full(fixed(shape_of(node.output)), value.reshape(()), value.dtype)]


def _where(node: Node, inferred: Inferred) -> list[Array]:
    return [np.where(*_arrays(node))]


def _triangle(node: Node, inferred: Inferred) -> list[Array]:
    diagonal = int(_array(node, 1).reshape(())) if node.input(1) is not None else 0
    cut: Any = np.triu if node.attributes.get("upper", 1) else np.tril
    return [cut(_array(node, 0), diagonal)]


# Arithmetic


def _cast(node: Node, inferred: Inferred) -> list[Array]:
    """From floats to integers only where each is one: what lies outside has no agreed number."""
    x, dtype = _array(node, 0), node.output.dtype
    assert dtype is not None
    if x.dtype.kind not in "fiub" or dtype.kind not in "fiub":
        raise UnknownSize("a cast of another type")
    if x.dtype.kind == "f" and dtype.kind in "iu":
        inside = np.isfinite(x) & (np.abs(x) < 2.0 ** (8 * dtype.itemsize - 1))
        if not inside.all() or (dtype.kind == "u" and (x < 0).any()):
            raise UnknownSize("a cast of what lies outside the type")
    if dtype == np.float16 and x.dtype.itemsize > 2 and x.dtype != np.float32:
        raise UnknownSize("a cast that some round twice")
    return [x.astype(dtype)]


def _on(function: Callable[..., Any], types: set[str]) -> Rule:
    """A function of NumPy's on operands of one of these types."""

    def rule(node: Node, inferred: Inferred) -> list[Array]:
        arrays = _arrays(node)
        if any(str(array.dtype) not in types for array in arrays):
            raise UnknownSize(f"no exact {node.op} of {arrays[0].dtype}")
        return [np.asarray(function(*arrays))]

    return rule


def _dequantized(node: Node, inferred: Inferred) -> list[Array]:
    x, scale = _array(node, 0), _array(node, 1)
    zero = _array(node, 2) if node.input(2) is not None else np.zeros((), x.dtype)
    fits = str(x.dtype) in _QUANTIZED and scale.dtype == np.float32 == node.output.dtype
    if not fits or node.attributes.get("block_size", 0) or scale.ndim > 1:
        raise UnknownSize("a quantization of another kind")
    if scale.ndim and scale.size > 1:
        axis = node.attributes.get("axis", 1) % x.ndim
        along = [-1 if position == axis else 1 for position in range(x.ndim)]
        scale, zero = scale.reshape(along), zero.reshape(along) if zero.size > 1 else zero
    difference = np.subtract(x, zero.reshape(zero.shape if zero.size > 1 else ()), dtype=np.int32)
    return [difference.astype(np.float32) * scale.reshape(scale.shape if scale.size > 1 else ())]


_FLOATS = {"float32", "float64"}
_NUMBERS = {*_FLOATS, "int32", "int64"}
_QUANTIZED = {"int8", "uint8", "int16", "uint16", "int32"}

VIEWS = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice"}
"""Operators that give no more than they take, and mostly where it lies."""

EXACT: dict[str, Rule] = {
    "Identity": _identity,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped),
    "Transpose": _transpose,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "ConstantOfShape": _filled,
    "Where": _where,
    "Trilu": _triangle,
    "Cast": _cast,
    "Add": _on(np.add, _NUMBERS),
    "Sub": _on(np.subtract, _NUMBERS),
    "Mul": _on(np.multiply, _NUMBERS),
    "Div": _on(np.divide, _FLOATS),
    "Sqrt": _on(np.sqrt, _FLOATS),
    "Neg": _on(np.negative, _NUMBERS),
    "Equal": _on(np.equal, _NUMBERS),
    "Less": _on(np.less, _NUMBERS),
    "LessOrEqual": _on(np.less_equal, _NUMBERS),
    "Greater": _on(np.greater, _NUMBERS),
    "GreaterOrEqual": _on(np.greater_equal, _NUMBERS),
    "Not": _on(np.logical_not, {"bool"}),
    "And": _on(np.logical_and, {"bool"}),
    "Or": _on(np.logical_or, {"bool"}),
    "Xor": _on(np.logical_xor, {"bool"}),
    "DequantizeLinear": _dequantized,
}
