"""Training half-precision modules in float32, in whose steps small changes are not lost."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

_HALVES = (torch.float16, torch.bfloat16)


def to_single(module: nn.Module) -> dict[str, torch.dtype]:
    """Turn half-precision parameters and buffers into float32, in place; ties stay.

    Returns:
        The dtypes that these had, by name.
    """
    found = {}
    for name, parameter in module.named_parameters():
        if parameter.dtype in _HALVES:
            found[name] = parameter.dtype
            parameter.data = parameter.data.float()
    for name, buffer in list(module.named_buffers()):
        if buffer.dtype in _HALVES:
            found[name] = buffer.dtype
            _set_buffer(module, name, buffer.float())
    return found


def restore_precision(module: nn.Module, dtypes: Mapping[str, torch.dtype]) -> None:
    """Undo `to_single`, in place."""
    for name, parameter in module.named_parameters():
        if name in dtypes:
            parameter.grad = None
            parameter.data = parameter.data.to(dtypes[name])
    for name, buffer in list(module.named_buffers()):
        if name in dtypes:
            _set_buffer(module, name, buffer.to(dtypes[name]))


def _set_buffer(module: nn.Module, name: str, buffer: torch.Tensor) -> None:
    owner, _, own = name.rpartition(".")
    # Assigning keeps whether the buffer belongs to the state dict.
    setattr(module.get_submodule(owner), own, buffer)
