"""ONNX's sparse tensors: a few bytes that stand for as many zeros as their shape says.

So a model may ask for any amount of memory, all its sparse tensors together, before it has said
anything else. What they take is reckoned from their shapes before the first is made dense.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, SparseTensorProto, TensorProto, helper

from gossamer.errors import ModelError, UnsafeModelError
from gossamer.graphs.nodes import graphs, nodes
from gossamer.graphs.tensors import tensor_array
from gossamer.machine import memory

Array = np.ndarray[Any, Any]

# Bytes that are never too many, and how many times more than they are stored in others may take. A
# float32 that is kept takes 12 bytes with its position: so one of 3,000 may be the only one.
_FREE = 256 << 20
_TIMES = 1000


def check_sparse(model: ModelProto, source: str) -> None:
    """Refuse a model whose sparse tensors take too much memory when all of them are dense.

    That is more than the machine has, or 256 MiB and a thousand times what they are stored in.

    Args:
        model: with its inner graphs and functions; of the tensors only shapes and types are read.
        source: what to call the model in errors.

    Raises:
        UnsafeModelError: that says how much.
    """
    dense = stored = 0
    for sparse in sparse_tensors(model):
        dense += prod(max(0, size) for size in sparse.dims) * _itemsize(sparse.values)
        for part in (sparse.values, sparse.indices):
            stored += prod(max(0, size) for size in part.dims) * _itemsize(part)
    if dense > min(memory(), max(_FREE, _TIMES * stored)):
        raise UnsafeModelError(
            f"{source} has sparse tensors that take {dense / 2**30:.3g} GiB in all when dense; "
            "leave them out, or store them as dense ones"
        )


def sparse_tensors(model: ModelProto) -> Iterator[SparseTensorProto]:
    """Yield every sparse tensor of a model, those in attributes, graphs and functions included."""
    for graph in graphs(model):
        yield from graph.sparse_initializer
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor
            yield from attribute.sparse_tensors


def unfold(sparse: SparseTensorProto, name: str, source: str) -> Array:
    """Return a sparse tensor with all its zeros.

    Args:
        sparse: the tensor; of a model that `check_sparse` has passed.
        name: what to call it in errors.
        source: what to call the model in errors.

    Raises:
        ModelError: if the tensor contradicts itself.
    """
    broken = ModelError(
        f"{source} has the sparse tensor {name!r}, which contradicts itself; export it again"
    )
    try:
        values, indices = tensor_array(sparse.values), tensor_array(sparse.indices)
    except ModelError as error:
        raise broken from error
    shape = tuple(sparse.dims)
    if min(shape, default=1) < 0 or values.ndim != 1 or indices.dtype != np.int64:
        raise broken
    if indices.ndim == 2 and indices.shape == (values.size, len(shape)):
        if (indices < 0).any() or (indices >= np.array(shape, np.int64)).any():
            raise broken
        indices = np.ravel_multi_index(tuple(indices.T), shape) if shape else indices[:, 0]
    if indices.shape != values.shape or (indices < 0).any() or (indices >= prod(shape)).any():
        raise broken
    dense = np.zeros(prod(shape), values.dtype)
    dense[indices] = values
    return dense.reshape(shape)


def _itemsize(tensor: TensorProto) -> int:
    try:
        return int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError:
        # Of no known type: it is refused when it is read.
        return 8
