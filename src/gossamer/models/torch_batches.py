"""Feeding a PyTorch module with calibration batches."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.errors import DataError, GossamerError
from gossamer.models.adapter import ANY, Batch, Input
from gossamer.models.hugging_face import is_transformers_model
from gossamer.user_code import describe


def forward_inputs(model: Any) -> list[Input]:
    """Return the arguments of a module's forward method, or of the model that it wraps."""
    kind = inspect.Parameter
    parameters = inspect.signature(model.forward).parameters.values()
    while all(one.kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD) for one in parameters):
        # PEFT's wrapper hands on whatever it is given.
        if not hasattr(model, "get_base_model"):
            break
        model = model.get_base_model()
        parameters = inspect.signature(model.forward).parameters.values()
    inputs = [
        Input(one.name, required=one.default is kind.empty)
        for one in parameters
        if one.kind in (kind.POSITIONAL_OR_KEYWORD, kind.KEYWORD_ONLY)
    ]
    # What a transformers model takes beyond its own names are options, not inputs.
    if any(one.kind is kind.VAR_KEYWORD for one in parameters) and not is_transformers_model(model):
        inputs.append(ANY)
    return inputs


def to_tensors(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the batch on the model's device, floats in the model's precision."""
    floats = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    device = floats[0].device if floats else torch.device("cpu")
    precision = floats[0].dtype if floats else torch.float32
    tensors = {}
    for name, array in batch.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if tensor.is_floating_point():
            tensor = tensor.to(precision)
        elif tensor.dtype != torch.bool:
            tensor = tensor.long()
        tensors[name] = tensor.to(device)
    return tensors


def run(model: nn.Module, batch: Batch, number: int) -> Any:
    """Run a batch through the module.

    Raises:
        DataError: if the module does not take it.
    """
    with fitting(f"calibration batch {number}", "the model"):
        return model(**to_tensors(model, batch))


@contextmanager
def fitting(batch: str, model: str) -> Iterator[None]:
    """Say of a batch that does not run through a model, in the block, that it does not.

    Args:
        batch: what to call it.
        model: what to call the model.

    Raises:
        DataError: if anything but an error of this package comes out of the block.
    """
    try:
        yield
    except GossamerError:
        raise
    except Exception as error:  # A forward is the user's code: anything may come out of it.
        raise DataError(
            f"{batch} does not run through {model} ({describe(error)}); check its shapes and values"
        ) from error


def for_inference(model: nn.Module) -> nn.Module:
    """Put a module in eval mode, in place; exported modules are fixed in theirs."""
    if isinstance(model, torch.fx.GraphModule):
        return model
    return model.eval()


@contextmanager
def calibrating(model: nn.Module) -> Iterator[None]:
    """Run a module without gradients, and without shortcuts that hide its layers.

    The key-value cache of a language model is off: it would grow each time a block is run again.
    PyTorch's fused transformer layers are off: they bypass the linear layers.
    """
    config = getattr(model, "config", None)
    caches = getattr(config, "use_cache", None)
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    if caches:
        config.use_cache = False  # type: ignore[union-attr]
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        if caches:
            config.use_cache = True  # type: ignore[union-attr]
