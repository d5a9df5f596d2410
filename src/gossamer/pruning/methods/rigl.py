"""RigL: sparse from the first step to the last."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gossamer.pruning.methods.method import Method, Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer


class RigL(Method):
    """Starts from random masks, drops small weights and grows where the gradient is large.

    Evci et al.: Rigging the Lottery: Making All Tickets Winners, 2020 (algorithm 1): at each
    renewal the fraction `0.3 / 2 * (1 + cos(pi * progress))` of a layer's weights is dropped by
    magnitude, and as many grow by the size of the dense gradient, from zero. It is meant for
    training from the start: random masks take from a trained model what it has learnt.

    Ours: a schedule other than "constant" lets the sparsity grow on the way.
    """

    name = "rigl"
    schedule = "constant"
    allocation = "erk"
    ramp = (0.0, 0.75)
    fraction = 0.3

    def start(self, layer: TrainedLayer, sparsity: float, random: torch.Generator) -> None:
        """Choose a random mask."""
        scores = torch.rand(layer.mask.shape, generator=random)
        layer.mask = layer.choose(scores.to(layer.mask.device), sparsity)

    def see_gradient(self, layer: TrainedLayer, gradient: Tensor, *, due: bool) -> None:
        """Remember the gradient that decides what grows."""
        if due:
            layer.state["gradient"] = gradient.abs()

    def renew(self, layer: TrainedLayer, moment: Moment) -> None:
        """Drop and grow; a layer that has no gradient only drops what is too much."""
        gradient = layer.state.pop("gradient", None)
        # A mask that is due counts before any weight outside of it.
        size = layer.weight().abs().masked_fill(~layer.mask, -1.0)
        if gradient is None:
            layer.mask = layer.choose(size, moment.sparsity)
            return
        share = self.fraction / 2 * (1 + math.cos(math.pi * moment.progress))
        kept = layer.choose(size, 1 - (1 - moment.sparsity) * (1 - share))
        gradient = gradient / gradient.max().clamp(min=torch.finfo(torch.float32).tiny)
        layer.mask = layer.choose(gradient.masked_fill(kept, 2.0), moment.sparsity)
