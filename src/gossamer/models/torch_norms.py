"""Batch normalisation: the statistics of the sparse model, in place of the dense one's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from gossamer.models.torch_batches import calibrating


def estimate_statistics(module: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> None:
    """Set the running statistics of batch normalisation to their means over samples, in place.

    With most weights gone, what reaches a normalisation is smaller than what its statistics were
    taken from, and the mismatch grows from layer to layer. All layers are estimated at once, each
    from inputs that the batch itself normalised before. The module must be in eval mode, and all
    but these layers stay in it. Nothing happens without such layers.

    Args:
        module: in eval mode.
        batches: inputs by name, of two samples at least.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    ]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
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
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
