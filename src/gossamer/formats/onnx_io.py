"""ONNX files in and out: everything is checked on the way in, any runtime opens what goes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
    numpy_helper,
)
from onnx.external_data_helper import load_external_data_for_tensor

from gossamer.errors import ModelError, first_line
from gossamer.files import atomic_path
from gossamer.sparse_tensors import check_sparse, unfold

Array = np.ndarray[Any, Any]

# Protocol buffers hold no more, and so neither does one tensor that is stored inside a model.
_LARGEST_PROTO = 2**31 - 1


def load_onnx(path: str | Path) -> ModelProto:
    """Read an ONNX file, with its external data, and check it.

    External data must lie in the folder of the model or below it. Sparse initializers come back as
    ordinary dense ones.

    Raises:
        ModelError: if the file is missing, is not ONNX, is truncated or invalid, or refers to
            data outside its folder.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; check the path of the ONNX model") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; give a readable file") from error
    try:
        model = onnx.load_from_string(content)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not an ONNX model, or is truncated; export or copy it again"
        ) from error
    del content
    # Any bytes may happen to decode as an empty message; a model always has these.
    if model.ir_version < 1 or not model.opset_import or not model.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model, or is truncated; export or copy it again")
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            _load_external(tensor, path)
    densify(model, str(path))
    try:
        if model.ByteSize() <= _LARGEST_PROTO:
            onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not a valid ONNX model ({first_line(error)}); export it again"
        ) from error
    return model


def save_onnx(model: ModelProto, path: str | Path, *, sparse_initializers: bool = False) -> None:
    """Write `model` as one ONNX file with ordinary dense initializers.

    Args:
        model: the model; it is left as it is.
        path: where to write. The file appears whole or not at all.
        sparse_initializers: write each initializer and Constant value as an ONNX sparse tensor
            (values and 64-bit positions) where that is smaller: above two thirds zeros for
            float32. Not every runtime reads these. Default False.

    Raises:
        ModelError: if the model is larger than the 2 GiB that one ONNX file holds.
        OutputError: if `path` cannot be written.
    """
    if sparse_initializers:
        copy = ModelProto()
        copy.CopyFrom(model)
        _sparsify(copy)
        model = copy
    try:
        content = model.SerializeToString()
    except ValueError as error:
        raise ModelError(
            f"the model for {path} is larger than 2 GiB, the most one ONNX file holds; "
            "save it as a sparse Gossamer file"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def densify(model: ModelProto, source: str) -> None:
    """Turn sparse initializers and sparse Constant values of the main graph into dense ones.

    Args:
        model: the model, changed in place.
        source: what to call the model in errors.

    Raises:
        ModelError: if a sparse tensor contradicts itself, or all together take too much when dense;
            see `gossamer.sparse_tensors.check_sparse`.
    """
    check_sparse(model, source)
    for sparse in model.graph.sparse_initializer:
        name = sparse.values.name
        dense = numpy_helper.from_array(unfold(sparse, name, source), name)
        model.graph.initializer.append(dense)
    del model.graph.sparse_initializer[:]
    for node, attribute in constant_values(model):
        if attribute.name == "sparse_value":
            array = unfold(attribute.sparse_tensor, node.output[0], source)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(array)))


def constant_values(model: ModelProto) -> Iterator[tuple[NodeProto, AttributeProto]]:
    """Yield each Constant node of the main graph whose value is a tensor, and that attribute."""
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.name in ("value", "sparse_value"):
                    yield node, attribute


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor in `model`, those in attributes and subgraphs included."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Any) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            if attribute.HasField("g"):
                yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def _load_external(tensor: TensorProto, model_path: Path) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = model_path.parent.resolve()
    data_path = (folder / location).resolve()
    if not location or not data_path.is_relative_to(folder):
        raise ModelError(
            f"{model_path} keeps tensor {tensor.name!r} outside its folder, at {location!r}; "
            "move the data beside the model and export it again"
        )
    if not data_path.is_file():
        raise ModelError(
            f"{model_path} keeps tensor {tensor.name!r} in {location!r}, which is missing; "
            "copy that file beside the model"
        )
    try:
        load_external_data_for_tensor(tensor, str(folder))
    except (onnx.checker.ValidationError, ValueError, OSError, RuntimeError) as error:
        raise ModelError(
            f"{model_path} keeps tensor {tensor.name!r} in {location!r}, which does not hold it "
            f"({first_line(error)}); copy that file again"
        ) from error
    # As after onnx.load: the data is here, and where it came from matters no more.
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _sparsify(model: ModelProto) -> None:
    """Replace initializers and Constant values by sparse ones where that is smaller, in place."""
    inputs = {value.name for value in model.graph.input}
    dense = []
    for tensor in model.graph.initializer:
        # A default for a graph input can be overridden, and only dense ones may be.
        sparse = None if tensor.name in inputs else _sparse(tensor, tensor.name)
        if sparse is None:
            dense.append(tensor)
        else:
            model.graph.sparse_initializer.append(sparse)
    kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in dense]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node, attribute in constant_values(model):
        if attribute.name == "value":
            sparse = _sparse(attribute.t, node.output[0])
            if sparse is not None:
                attribute.CopyFrom(helper.make_attribute("sparse_value", sparse))


def _sparse(tensor: TensorProto, name: str) -> SparseTensorProto | None:
    if tensor.data_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        return None
    array = numpy_helper.to_array(tensor)
    positions = np.flatnonzero(array)
    if array.ndim == 0 or positions.size * (array.itemsize + 8) >= array.nbytes:
        return None
    return SparseTensorProto(
        dims=array.shape,
        values=numpy_helper.from_array(array.reshape(-1)[positions], name),
        indices=numpy_helper.from_array(positions.astype(np.int64), f"{name}_indices"),
    )
