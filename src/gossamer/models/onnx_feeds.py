"""Calibration data as an ONNX model takes it: in the types of its inputs, sequences as lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from gossamer.errors import ModelError
from gossamer.models.adapter import Batch, Input
from gossamer.models.calibration import is_sequence

Array = np.ndarray[Any, Any]


def describe_input(value: onnx.ValueInfoProto) -> Input:
    """Return what is known of an input of a graph."""
    tensor, sequence = _tensor(value)
    shape: tuple[int | None, ...] | None = None
    if tensor.HasField("shape") and not sequence:
        shape = tuple(
            # Some exporters write -1 for an axis that is free.
            axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else None
            for axis in tensor.shape.dim
        )
    dtype = _dtype(tensor)
    kind = None if dtype is None else dtype.kind
    return Input(
        value.name,
        required=True,
        shape=shape,
        floating=None if kind in (None, "O") else kind not in "iub",
        text=kind == "O",
        sequence=sequence,
    )


def as_taken(graph: onnx.GraphProto, batch: Batch) -> dict[str, Any]:
    """Return a batch in the types of the inputs that a graph has, without what it does not take.

    Returns:
        Arrays, text in arrays of objects, and lists of arrays for sequences.
    """
    known = {value.name: value for value in graph.input}
    return {name: _in_type(known[name], given) for name, given in batch.items() if name in known}


def as_kind(graph: onnx.GraphProto, given: dict[str, Any]) -> dict[str, Any]:
    """Return inputs in the precision that a graph takes; of another kind they stay as they are.

    Args:
        graph: the graph.
        given: arrays by input name, rows of numbers, or lists of arrays for sequences.
    """
    known = {value.name: value for value in graph.input}
    found = {}
    for name, value in given.items():
        tensor, sequence = _tensor(known[name])
        dtype = _dtype(tensor)
        array = value if sequence else np.asarray(value)
        if not sequence and dtype is not None and np.can_cast(array.dtype, dtype, "same_kind"):
            array = array.astype(dtype, copy=False)
        found[name] = array
    return found


def declare(name: str, value: Any) -> onnx.ValueInfoProto:
    """Return the declaration of an input that takes `value`, an array or a list of arrays.

    Raises:
        ModelError: if the value is neither, or an empty list.
    """
    if isinstance(value, np.ndarray):
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), None
        )
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        kind = helper.np_dtype_to_tensor_dtype(value[0].dtype)
        return helper.make_tensor_sequence_value_info(name, kind, None)
    raise ModelError(
        f"value {name!r} of the ONNX graph is neither a tensor nor a sequence of tensors with "
        "something in it; models that pass such values from part to part cannot be calibrated: "
        "use solver='magnitude'"
    )


def _in_type(value: onnx.ValueInfoProto, given: Array) -> Any:
    dtype = _dtype(_tensor(value)[0])
    if is_sequence(given):
        return [np.asarray(one) if dtype is None else one.astype(dtype) for one in given]
    return given if dtype is None else given.astype(dtype)


def _tensor(value: onnx.ValueInfoProto) -> tuple[onnx.TypeProto.Tensor, bool]:
    """Return the type of an input's tensors, and whether it takes a sequence of them."""
    if value.type.HasField("sequence_type"):
        return value.type.sequence_type.elem_type.tensor_type, True
    return value.type.tensor_type, False


def _dtype(tensor: onnx.TypeProto.Tensor) -> np.dtype[Any] | None:
    try:
        dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except KeyError:
        return None
    return dtype
