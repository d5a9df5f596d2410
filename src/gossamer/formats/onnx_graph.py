"""An ONNX model taken apart into a graph without weights and its weights, and put together again.

A weight is an initializer, or the value of a Constant node, in the main graph; it is known by the
name of the value it produces. Subgraphs and functions stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto, helper

from gossamer.errors import ModelError
from gossamer.formats.description import Malformed
from gossamer.formats.dtypes import NAMES
from gossamer.formats.onnx_io import constant_values, densify
from gossamer.formats.onnx_message import without_elements
from gossamer.graphs.external_data import tensors
from gossamer.graphs.tensors import tensor_array

Array = np.ndarray[Any, Any]

# Below this a tensor is more likely a shape or a scalar than a weight, and its entry in the
# container would cost as much as it saves.
_SMALLEST_WEIGHT_BYTES = 1024
_DATA_FIELDS = (
    *("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"),
    "string_data",
)


def split(model: ModelProto) -> tuple[ModelProto, dict[str, Array]]:
    """Return a copy of `model` without its weights, and the weights by name.

    Raises:
        ModelError: if a tensor's data is still in an external file, or a tensor is broken.
    """
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ModelError(
                f"the graph keeps tensor {tensor.name!r} in an external file; "
                "read the model with gossamer.formats.load_onnx"
            )
    stripped = without_elements(model, keep=_SMALLEST_WEIGHT_BYTES)
    densify(stripped, "the graph")
    weights: dict[str, Array] = {}
    # Behind the initializers that the model has come those that were sparse.
    full = list(model.graph.initializer)
    for index, (name, tensor) in enumerate(_weights(stripped)):
        held = full[index] if index < len(full) else tensor
        array = tensor_array(held)
        if name in weights:
            raise ModelError(f"the graph defines tensor {name!r} twice; export the model again")
        if array.nbytes >= _SMALLEST_WEIGHT_BYTES and array.dtype.name in NAMES:
            weights[name] = array
            _clear(tensor)
        elif held.HasField("raw_data"):
            tensor.raw_data = held.raw_data
    return stripped, weights


def parse(content: bytes) -> ModelProto:
    """Read a graph that `split` made.

    Raises:
        Malformed: if `content` is no ONNX model.
    """
    try:
        return ModelProto.FromString(content)
    except DecodeError as error:
        raise Malformed("the carried graph is not an ONNX model") from error


def check(
    stripped: ModelProto, bindings: dict[str, str], signature: Callable[[str], tuple[Any, Any]]
) -> None:
    """Compare the stripped weights of a graph with the tensors that stand behind them.

    Args:
        stripped: the graph.
        bindings: the tensor's name for each stripped weight's name.
        signature: gives a tensor's numpy type and shape by its name.

    Raises:
        Malformed: if a weight is missing, or has another type or shape.
    """
    found = {name: tensor for name, tensor in _weights(stripped) if name in bindings}
    missing = bindings.keys() - found.keys()
    if missing:
        raise Malformed(f"the carried graph lacks {min(missing)!r}")
    for name, tensor in found.items():
        dtype, shape = signature(bindings[name])
        if tensor.data_type != _onnx_type(dtype) or tuple(tensor.dims) != tuple(shape):
            raise Malformed(f"the carried graph has {name!r} with another type or shape")


def join(stripped: ModelProto, weights: Callable[[str], Array], names: set[str]) -> ModelProto:
    """Return a copy of `stripped` with the weights called `names` filled in by `weights(name)`."""
    model = ModelProto()
    model.CopyFrom(stripped)
    for name, tensor in _weights(model):
        if name in names:
            _clear(tensor)
            tensor.raw_data = weights(name).tobytes()
    return model


def _weights(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node, attribute in constant_values(model):
        if attribute.name == "value":
            yield node.output[0], attribute.t


def _clear(tensor: TensorProto) -> None:
    for field in _DATA_FIELDS:
        tensor.ClearField(field)


def _onnx_type(dtype: Any) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
