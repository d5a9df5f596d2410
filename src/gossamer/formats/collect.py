"""The tensors of a PyTorch module or of a mapping, as numpy arrays with ties kept; and back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from gossamer.errors import ModelError

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NamedArray:
    """A tensor of a model. Two with the same `memory` are tied: one tensor under two names."""

    name: str
    array: Array
    memory: tuple[Any, ...]


def collect(model: Any) -> list[NamedArray]:
    """Return the tensors of `model` in their order.

    Args:
        model: a PyTorch module (its state dict is read) or a mapping from names to arrays or
            tensors.

    Raises:
        ModelError: if `model` is neither, or an entry is no plain tensor.
    """
    torch_module = sys.modules.get("torch")
    if torch_module is not None and isinstance(model, torch_module.nn.Module):
        model = model.state_dict()
    if not isinstance(model, Mapping):
        raise ModelError(
            f"cannot save a {type(model).__name__}; give a PyTorch module, an ONNX model or a "
            "mapping from names to arrays"
        )
    return list(_collect(model.items()))


def _collect(items: Iterable[tuple[Any, Any]]) -> Iterable[NamedArray]:
    torch_module = sys.modules.get("torch")
    for name, value in items:
        if not isinstance(name, str):
            raise ModelError(f"tensor name {name!r} is not text; name the tensors with strings")
        if torch_module is not None and isinstance(value, torch_module.Tensor):
            yield NamedArray(name, _from_torch(name, value), _torch_memory(value))
        elif isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            interface = array.__array_interface__
            place = (interface["data"][0], array.shape, array.strides, array.dtype.str)
            yield NamedArray(name, _little_endian(array), ("numpy", *place))
        else:
            raise ModelError(
                f"entry {name!r} is a {type(value).__name__}, not a tensor; leave it out and keep "
                "it in a file of its own"
            )


def _little_endian(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array


def _torch_memory(tensor: torch.Tensor) -> tuple[Any, ...]:
    if tensor.layout != sys.modules["torch"].strided or tensor.is_meta:
        return ("torch", id(tensor))
    place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), str(tensor.dtype))
    return ("torch", str(tensor.device), *place)


def _from_torch(name: str, tensor: torch.Tensor) -> Array:
    import torch
    from torch.nn.parameter import is_lazy

    if is_lazy(tensor):
        raise ModelError(
            f"tensor {name!r} has no values yet: it takes its size from the first batch; run one "
            "through the model before saving it"
        )
    if tensor.is_meta or tensor.is_quantized:
        state = "has no data (it is on the meta device)" if tensor.is_meta else "is quantized"
        raise ModelError(f"tensor {name!r} {state}; load or dequantize the model before saving it")
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.cpu().contiguous().resolve_conj().resolve_neg()
    raw = _TORCH_RAW.get(str(tensor.dtype).removeprefix("torch."))
    try:
        if raw is None:
            return np.asarray(tensor.numpy())
        integers, dtype = raw
        return np.asarray(tensor.view(getattr(torch, integers)).numpy()).view(dtype)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"tensor {name!r} holds {tensor.dtype} elements, which the sparse file does not know; "
            "convert it to float32 or an integer type first"
        ) from error


# Element types that torch has and numpy itself lacks: the integers to pass them through.
_TORCH_RAW: dict[str, tuple[str, Any]] = {
    "bfloat16": ("int16", ml_dtypes.bfloat16),
    "float8_e4m3fn": ("uint8", ml_dtypes.float8_e4m3fn),
    "float8_e5m2": ("uint8", ml_dtypes.float8_e5m2),
}


def to_torch(array: Array) -> torch.Tensor:
    """Return `array` as a tensor of the same type and shape that shares its memory."""
    import torch

    raw = _TORCH_RAW.get(array.dtype.name)
    if raw is None:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(raw[0])).view(getattr(torch, array.dtype.name))
