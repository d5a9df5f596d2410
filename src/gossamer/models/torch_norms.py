"""Batch normalisation: the statistics of the sparse model, in place of the dense one's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gossamer.models.torch_batches import calibrating

Statistics = list[tuple[Tensor, Tensor]]
"""Mean and variance of what reaches each layer, in the order of `Module.modules()`."""


def correct_statistics(
    module: nn.Module, dense: nn.Module, expected: Statistics, found: Statistics
) -> None:
    """Move the running statistics of batch normalisation by what pruning changed, in place.

    With most weights gone, what reaches a normalisation is smaller than what its statistics were
    taken from, and the mismatch grows from layer to layer. The dense model's statistics come from
    all of its training, and a few samples would be a poor substitute: only the difference between
    the models, seen on the same samples, is taken from these. Means are moved by it, and variances
    multiplied, so that a model that pruning did not change keeps its statistics exactly.

    Args:
        module: sparse.
        dense: the same model before pruning.
        expected: `measured_statistics` of `dense`.
        found: those of `module`, on the same samples.
    """
    with torch.no_grad():
        for layer, before, (old_mean, old_variance), (mean, variance) in zip(
            _layers(module), _layers(dense), expected, found, strict=True
        ):
            assert layer.running_mean is not None and layer.running_var is not None
            assert before.running_mean is not None and before.running_var is not None
            layer.running_mean.copy_(before.running_mean + (mean - old_mean))
            # What normalisation adds to a variance keeps dead channels from dividing by zero.
            change = (variance + layer.eps) / (old_variance + layer.eps)
            layer.running_var.copy_(before.running_var * change)


def replace_statistics(module: nn.Module, found: Statistics) -> None:
    """Set the running statistics of batch normalisation to `measured_statistics`, in place."""
    with torch.no_grad():
        for layer, (mean, variance) in zip(_layers(module), found, strict=True):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)


def measured_statistics(module: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> Statistics:
    """Return what reaches batch normalisation: means over samples. The module stays as it was.

    All layers are measured at once, each on inputs that the batch itself normalised before. A
    module without such layers is not run.

    Args:
        module: in eval mode; all but these layers stay in it.
        batches: inputs by name, of two samples at least.
    """
    layers = _layers(module)
    if not layers:
        return []
    kept = [
        (layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers()})
        for layer in layers
    ]
    try:
        for layer in layers:
            layer.train()
        seen = 0
        with calibrating(module):
            for batch in batches:
                samples = len(next(iter(batch.values())))
                seen += samples
                for layer in layers:
                    # The share of the batch in the mean so far: the first replaces what was there.
                    layer.momentum = samples / seen
                module(**batch)
        return [_copies(layer) for layer in layers]
    finally:
        for layer, (momentum, buffers) in zip(layers, kept, strict=True):
            layer.momentum = momentum
            layer.load_state_dict(buffers, strict=False)
            layer.eval()


def _layers(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    ]


def _copies(layer: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None and layer.running_var is not None
    return layer.running_mean.clone(), layer.running_var.clone()
