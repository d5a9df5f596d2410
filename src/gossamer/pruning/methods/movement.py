"""Movement pruning."""

from __future__ import annotations

import torch
from torch import Tensor

from gossamer.pruning.methods.method import Method, Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer


class Movement(Method):
    """Keeps the weights that training moves away from zero.

    Sanh, Wolf, Rush: Movement Pruning, 2020 (section 4, top-v with a straight-through estimator):
    the score of a weight is the sum of `-w * gradient` over all steps, masked weights included.
    These keep the value that they had, so that they can come back with it.

    Ours: scores are summed in float32 whatever the learning rate; the weight is taken just after
    the optimizer's step instead of just before.
    """

    name = "movement"

    def start(self, layer: TrainedLayer, sparsity: float, random: torch.Generator) -> None:
        """Begin with scores of zero."""
        layer.state["score"] = torch.zeros_like(layer.weight())
        layer.state["removed"] = torch.zeros_like(layer.weight())

    def see_gradient(self, layer: TrainedLayer, gradient: Tensor, *, due: bool) -> None:
        """Add up the scores."""
        weight = torch.where(layer.mask, layer.weight(), layer.state["removed"])
        layer.state["score"].sub_(weight * gradient)

    @torch.no_grad()
    def renew(self, layer: TrainedLayer, moment: Moment) -> None:
        """Keep the highest scores, and give those that come back the value that they had."""
        before, weight = layer.mask, layer.weight()
        values = torch.where(before, weight, layer.state["removed"])
        layer.mask = layer.choose(layer.state["score"], moment.sparsity)
        layer.state["removed"] = values.masked_fill(layer.mask, 0)
        layer.parameter.copy_(layer.unfolded(values))
