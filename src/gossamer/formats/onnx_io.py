"""ONNX files in and out: everything is checked on the way in, any runtime opens what goes out."""

from __future__ import annotations

import os
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

from gossamer.errors import ModelError, first_line
from gossamer.files import as_path, atomic_path
from gossamer.formats.onnx_message import copy_model, is_large, without_elements
from gossamer.graphs.check import check
from gossamer.graphs.external_data import is_external, load, tensors
from gossamer.graphs.sparse_tensors import check_sparse, unfold
from gossamer.graphs.tensors import tensor_array

Array = np.ndarray[Any, Any]

# Bytes from which on an initializer is checked and, in a large model, stored by itself.
_LARGE = 4096
_PAGE = 4096


def load_onnx(path: str | Path) -> ModelProto:
    """Read an ONNX file, with its external data, and check it.

    External data must lie in the folder of the model or below it, or, where the file is a link, of
    what it leads to. Sparse initializers come back as ordinary dense ones. Types and shapes need
    not be stated; see `gossamer.graphs.check`.

    Raises:
        ModelError: if the file is missing, is not ONNX, is truncated or invalid, or refers to
            data outside its folder.
    """
    path = as_path(path)
    if "\0" in str(path):
        raise ModelError(f"no file is called {str(path)!r}; check the path of the ONNX model")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; check the path of the ONNX model") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; give a readable file") from error
    return parse_onnx(content, str(path), path)


def parse_onnx(content: bytes, source: str, path: Path | None = None) -> ModelProto:
    """Return the ONNX model that bytes hold; see `load_onnx`.

    Args:
        content: what an ONNX file holds.
        source: what to call it in errors.
        path: the file, in whose folder external data lies; without it there may be none.

    Raises:
        ModelError: if it is not ONNX, is truncated or invalid, or refers to data elsewhere.
    """
    try:
        model = onnx.load_from_string(content)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(
            f"{source} is not an ONNX model, or is truncated; export or copy it again"
        ) from error
    del content
    # Any bytes may happen to decode as an empty message; a model always has these.
    if model.ir_version < 1 or not model.opset_import or not model.HasField("graph"):
        raise ModelError(f"{source} is not an ONNX model, or is truncated; export or copy it again")
    for tensor in tensors(model):
        if is_external(tensor):
            if path is None:
                raise ModelError(
                    f"{source} keep tensor {tensor.name!r} in a file of its own; give the path of "
                    "the model, beside which it lies"
                )
            load(tensor, path)
    densify(model, source)
    try:
        _check(model)
    except (
        *(ModelError, onnx.checker.ValidationError),
        *(ValueError, TypeError, RuntimeError),
    ) as error:
        raise ModelError(
            f"{source} is not a valid ONNX model ({first_line(error)}); export it again"
        ) from error
    return model


def _check(model: ModelProto) -> None:
    """Check a model of any size, each of its initializers by itself."""
    rest = without_elements(model, keep=_LARGE)
    initializers = rest.graph.initializer
    known = {info.name for info in rest.graph.input}
    for index in reversed(range(len(initializers))):
        tensor, full = initializers[index], model.graph.initializer[index]
        tensor_array(full)
        if not full.HasField("raw_data") or tensor.HasField("raw_data"):
            continue
        if tensor.name not in known:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            rest.graph.input.append(info)
        del initializers[index]
    check(rest)


def save_onnx(model: ModelProto, path: str | Path, *, sparse_initializers: bool = False) -> None:
    """Write `model` as one ONNX file with ordinary dense initializers.

    A model beyond the 2 GiB that one file holds becomes two: its large initializers lie in a second
    one beside it, `PATH.data`, and the two must stay together.

    Args:
        model: the model; it is left as it is.
        path: where to write. A file appears whole or not at all, the one with the data first.
        sparse_initializers: write each initializer and Constant value as an ONNX sparse tensor
            (values and 64-bit positions) where that is smaller: above two thirds zeros for
            float32. Not every runtime reads these. Default False.

    Raises:
        ModelError: if what is not in large initializers is beyond 2 GiB.
        OutputError: if `path` cannot be written.
    """
    if sparse_initializers:
        model = copy_model(model)
        _sparsify(model)
    if is_large(model):
        model = _with_data_beside(model, Path(path))
    try:
        content = model.SerializeToString()
    except Exception as error:
        raise ModelError(
            f"the model for {path} has more than 2 GiB beside its initializers, which one ONNX "
            "file does not hold; export it with its weights as initializers"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _with_data_beside(model: ModelProto, path: Path) -> ModelProto:
    """Write the large initializers into a file of their own; return the model that refers to it."""
    rest = without_elements(model, keep=_LARGE)
    beside = path.with_name(f"{path.name}.data")
    with atomic_path(beside) as temporary, temporary.open("wb") as file:
        for tensor, full in zip(rest.graph.initializer, model.graph.initializer, strict=True):
            if not full.HasField("raw_data") or tensor.HasField("raw_data"):
                continue
            # Page by page, so that a runtime may map it.
            file.seek(-file.tell() % _PAGE, os.SEEK_CUR)
            begin, size = file.tell(), file.write(full.raw_data)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", beside.name), ("offset", begin), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
    return rest


def densify(model: ModelProto, source: str) -> None:
    """Turn sparse initializers and sparse Constant values of the main graph into dense ones.

    Args:
        model: the model, changed in place.
        source: what to call the model in errors.

    Raises:
        ModelError: if a sparse tensor contradicts itself, or all together take too much when dense;
            see `gossamer.graphs.sparse_tensors.check_sparse`.
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


def _sparsify(model: ModelProto) -> None:
    """Replace initializers and Constant values by sparse ones where that is smaller, in place."""
    inputs = {value.name for value in model.graph.input}
    made = []
    for index in reversed(range(len(model.graph.initializer))):
        tensor = model.graph.initializer[index]
        # A default for a graph input can be overridden, and only dense ones may be.
        sparse = None if tensor.name in inputs else _sparse(tensor, tensor.name)
        if sparse is not None:
            made.append(sparse)
            del model.graph.initializer[index]
    model.graph.sparse_initializer.extend(reversed(made))
    for node, attribute in constant_values(model):
        if attribute.name == "value":
            sparse = _sparse(attribute.t, node.output[0])
            if sparse is not None:
                attribute.CopyFrom(helper.make_attribute("sparse_value", sparse))


def _sparse(tensor: TensorProto, name: str) -> SparseTensorProto | None:
    if tensor.data_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        return None
    array = tensor_array(tensor)
    positions = np.flatnonzero(array)
    if array.ndim == 0 or positions.size * (array.itemsize + 8) >= array.nbytes:
        return None
    return SparseTensorProto(
        dims=array.shape,
        values=numpy_helper.from_array(array.reshape(-1)[positions], name),
        indices=numpy_helper.from_array(positions.astype(np.int64), f"{name}_indices"),
    )
