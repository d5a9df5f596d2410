"""DequantizeLinear: integers times a scale."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import along
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of
from gossamer.graphs.operator import Operator

_QUANTIZED = {"int8", "uint8", "int16", "uint16", "int32"}


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    x, scale = data_of(node, 0), data_of(node, 1)
    zero = data_of(node, 2) if node.input(2) is not None else np.zeros((), x.dtype)
    fits = str(x.dtype) in _QUANTIZED and scale.dtype == np.float32 == node.output.dtype
    if not fits or node.attributes.get("block_size", 0) or scale.ndim > 1:
        raise UnknownSize("a quantization of another kind")
    if scale.ndim and scale.size > 1:
        axis = node.attributes.get("axis", 1) % x.ndim
        along = [-1 if position == axis else 1 for position in range(x.ndim)]
        scale, zero = scale.reshape(along), zero.reshape(along) if zero.size > 1 else zero
    difference = np.subtract(x, zero.reshape(zero.shape if zero.size > 1 else ()), dtype=np.int32)
    return [difference.astype(np.float32) * scale.reshape(scale.shape if scale.size > 1 else ())]


OPERATORS = {"DequantizeLinear": Operator(axes=along, exact=_exact)}
