"""Read and check an ONNX model without holding its weights more than once.

ONNX's own reader holds the file, the message parsed from it and the arrays made from that side by
side, and its checker a copy of all, which is several times the model. Here a model comes in two
parts: its large weights as arrays, read straight into place, and all else as a message in which
inputs stand for those weights.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from gossamer.errors import ModelError, OptionError, UnsafeModelError, first_line
from gossamer.files import is_file
from gossamer.graphs.check import check
from gossamer.graphs.external_data import MissingData, is_external, load, locate, tensors
from gossamer.graphs.functions import inline
from gossamer.graphs.operation import Array
from gossamer.graphs.sparse_tensors import check_sparse
from gossamer.graphs.tensors import tensor_array
from gossamer.runtime import bounds
from gossamer.runtime.memory import empty
from gossamer.runtime.wire import BinaryFile, Field, fields, read_bytes

_LARGE = 4096
"""Bytes from which on a weight is taken out; smaller ones may be shapes, which inference needs."""

# The numbers of the fields in onnx.proto that lead to the bytes of a weight.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9


class InvalidOnnx(ModelError):
    """A model that ONNX's text is against."""


@dataclass(frozen=True)
class Parts:
    """A model in two parts."""

    model: onnx.ModelProto
    """The model, checked; its large weights are inputs without elements."""
    weights: dict[str, Array]
    """The large weights by name."""


def read(
    model: str | Path | bytes | onnx.ModelProto, weights: Iterable[tuple[str, Array]] = ()
) -> Parts:
    """Read and check a model.

    Args:
        model: a file, its bytes, or the loaded model. External data must lie in the file's folder.
        weights: elements of initializers and Constant nodes that the model names without holding
            them, by name.

    Raises:
        ModelError: if there is no such file, or what it keeps in others is not there.
        InvalidOnnx: if it is not a valid ONNX model.
        OptionError: if `weights` are none.
        UnsafeModelError: if its functions become too many nodes, or its sparse tensors too large.
    """
    named = str(model) if isinstance(model, (str, Path)) else "the model"
    given = by_name(weights)
    if isinstance(model, (str, Path)) and not is_file(model):
        raise ModelError(f"there is no file {named}; check the path")
    try:
        parts = take_apart(model, given)
        _declare(parts)
        check(parts.model)
        check_sparse(parts.model, named)
        if parts.model.functions:
            bounds.check_functions(parts.model)
            flat = inline(parts.model)
            parts = Parts(flat, parts.weights)
    except (MissingData, UnsafeModelError):
        raise
    except Exception as error:
        raise InvalidOnnx(
            f"{named} is not valid ONNX ({first_line(error)[:200]}); export it anew"
        ) from None
    return parts


def by_name(weights: Iterable[tuple[str, Array]]) -> dict[str, Array]:
    """Weights that a caller gives apart from the model.

    Raises:
        OptionError: if they are no arrays by name.
    """
    refused = OptionError("weights must be pairs of a name and an array, or a dict of these")
    try:
        found = dict(weights)
    except (TypeError, ValueError):
        raise refused from None
    for name, array in found.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise refused
    return found


def take_apart(model: str | Path | bytes | onnx.ModelProto, given: Mapping[str, Array]) -> Parts:
    """The two parts of a model, unchecked; `given` are elements that it does not hold."""
    if isinstance(model, onnx.ModelProto):
        return _from_message(model, given)
    if isinstance(model, bytes):
        parts = _from_bytes(io.BytesIO(model), len(model))
    else:
        with Path(model).open("rb") as file:
            parts = _from_bytes(file, Path(model).stat().st_size)
        _load_external(parts, Path(model))
    return _from_message(parts.model, {**parts.weights, **given}) if given else parts


def _load_external(parts: Parts, path: Path) -> None:
    """Load what the model keeps in other files, each weight by itself."""
    initializers = parts.model.graph.initializer
    for index in reversed(range(len(initializers))):
        tensor = initializers[index]
        if is_external(tensor) and _plain_type(tensor) is not None:
            extent = locate(tensor, path)
            with extent.path.open("rb") as file:
                begin, end = extent.offset, extent.offset + extent.size
                parts.weights[tensor.name] = _array(file, begin, end, tensor)
            del initializers[index]
    for tensor in tensors(parts.model):
        if is_external(tensor):
            load(tensor, path)


def _declare(parts: Parts) -> None:
    """Let the model take its weights as inputs, unless it lists them among those already."""
    graph = parts.model.graph
    known = {info.name for info in graph.input}
    for name, array in parts.weights.items():
        if name not in known:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))


# From a message that somebody holds


def _from_message(model: onnx.ModelProto, given: Mapping[str, Array]) -> Parts:
    rest = onnx.ModelProto()
    _merge(rest, model, leave_out="graph")
    _merge(rest.graph, model.graph, leave_out="initializer")
    weights = dict(given)
    for tensor in model.graph.initializer:
        if tensor.name in given:
            continue
        if tensor.HasField("raw_data") and len(tensor.raw_data) >= _LARGE:
            weights[tensor.name] = tensor_array(tensor)
        else:
            rest.graph.initializer.append(tensor)
    for index in reversed(range(len(rest.graph.node))):
        node = rest.graph.node[index]
        if node.op_type == "Constant" and node.output and node.output[0] in given:
            del rest.graph.node[index]
    return Parts(rest, weights)


def _merge(target: Any, source: Any, leave_out: str) -> None:
    """Copy a message but for one field."""
    for field, value in source.ListFields():
        if field.name == leave_out:
            continue
        if hasattr(value, "MergeFrom"):
            getattr(target, field.name).MergeFrom(value)
        else:
            setattr(target, field.name, value)


# From the bytes of a file


def _from_bytes(file: BinaryFile, size: int) -> Parts:
    model = onnx.ModelProto()
    weights: dict[str, Array] = {}
    for field in fields(file, 0, size):
        if field.number != _GRAPH or not field.is_bytes:
            model.MergeFromString(read_bytes(file, field.start, field.end))
            continue
        rest = bytearray()
        for inner in fields(file, field.begin, field.end):
            found = None
            if inner.number == _INITIALIZER and inner.is_bytes:
                found = _weight(file, inner)
            if found is None:
                rest += read_bytes(file, inner.start, inner.end)
            else:
                weights[found[0]] = found[1]
        model.graph.MergeFromString(bytes(rest))
    return Parts(model, weights)


def _weight(file: BinaryFile, tensor: Field) -> tuple[str, Array] | None:
    """An initializer's name and elements, None for one that is small or not held in raw bytes."""
    if tensor.end - tensor.begin < _LARGE:
        return None
    description, data = bytearray(), None
    for field in fields(file, tensor.begin, tensor.end):
        if field.number == _RAW_DATA and field.is_bytes:
            data = field
        else:
            description += read_bytes(file, field.start, field.end)
    if data is None:
        return None
    proto = onnx.TensorProto.FromString(bytes(description))
    if _plain_type(proto) is None or is_external(proto):
        return None
    return proto.name, _array(file, data.begin, data.end, proto)


def _plain_type(tensor: onnx.TensorProto) -> np.dtype[Any] | None:
    """NumPy's type of a tensor's raw bytes, None where they are packed in a way of their own.

    Those are types of less than a byte, and such as NumPy lacks.
    """
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return dtype if dtype.kind in "fiub" else None


def _array(file: BinaryFile, begin: int, end: int, tensor: onnx.TensorProto) -> Array:
    """The elements of a tensor of a plain type that lie between two places in a file."""
    dtype, shape = _plain_type(tensor), tuple(tensor.dims)
    assert dtype is not None
    size = end - begin
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise ModelError(f"tensor {tensor.name!r} has {size} bytes, which do not fit {shape}")
    array = empty(shape, dtype)
    file.seek(begin)
    if file.readinto(array.reshape(-1).view(np.uint8).data) != size:
        raise ModelError(f"tensor {tensor.name!r} is cut short")
    return array
