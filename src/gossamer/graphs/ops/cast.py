"""Cast, CastLike: the same numbers in another type."""

from __future__ import annotations

import numpy as np
from onnx import helper

from gossamer.graphs.axes import along
from gossamer.graphs.contents import array_of
from gossamer.graphs.dims import Dim, UnknownSize, equal
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of, dtype_of, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    return [(dtype, shape_of(node.input(0)))]


def _like(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(1)), shape_of(node.input(0)))]


_WIDE = (np.dtype(np.int32), np.dtype(np.int64))


def _content(node: Operation, inferred: Inferred) -> Content:
    source, dtype = array_of(node.input(0)), node.output.dtype
    if dtype == np.bool_:
        return np.asarray(np.frompyfunc(lambda item: not equal(item, 0), 1, 1)(source), object)
    if dtype not in _WIDE and any(isinstance(item, Dim) for item in source.reshape(-1)):
        raise UnknownSize("a size may not fit its type")
    return source


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    """From floats to integers only where each is one: what lies outside has no agreed number."""
    x, dtype = data_of(node, 0), node.output.dtype
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


OPERATORS = {
    "Cast": Operator(_typed, along, _content, _exact),
    "CastLike": Operator(_like, along),
}
