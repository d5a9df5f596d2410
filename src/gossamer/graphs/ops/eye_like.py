"""EyeLike: ones on a diagonal."""

from __future__ import annotations

import numpy as np
from onnx import helper

from gossamer.graphs.axes import made
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, dtype_of, shape_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    shape = shape_of(node.input(0))
    if len(shape) != 2:
        raise UnknownSize("a diagonal of what is no matrix")
    if "dtype" in node.attributes:
        return [(np.dtype(helper.tensor_dtype_to_np_dtype(node.attributes["dtype"])), shape)]
    return [(dtype_of(node.input(0)), shape)]


OPERATORS = {"EyeLike": Operator(_typed, made)}
