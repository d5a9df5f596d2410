"""Gradual magnitude pruning."""

from __future__ import annotations

from gossamer.pruning.methods.method import Method, Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer


class Magnitude(Method):
    """Removes the weights that are smallest at the moment, a few at a time.

    Zhu, Gupta: To prune, or not to prune, 2017. As a weight that is zero has the lowest score there
    is, what was removed stays so.
    """

    name = "magnitude"

    def renew(self, layer: TrainedLayer, moment: Moment) -> None:
        """Keep the largest weights."""
        layer.mask = layer.choose(layer.weight().abs(), moment.sparsity)
