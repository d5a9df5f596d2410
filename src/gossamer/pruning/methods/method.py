"""What a method of sparse training does, and when it is asked to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gossamer.pruning.methods.trained_layer import TrainedLayer


class Moment(NamedTuple):
    """What is due when masks are renewed.

    Attributes:
        sparsity: that the layer must have from now on.
        next_sparsity: that it must have when masks are renewed the next time.
        steps: from now to then.
        progress: of the ramp, 0 to 1.
    """

    sparsity: float
    next_sparsity: float
    steps: int
    progress: float


class Method:
    """Chooses which weights of a layer are zero while the model trains.

    A method overrides what it needs; `renew` it must. It knows one layer at a time, leaves the
    pattern to `TrainedLayer.choose`, and keeps what it has to remember in `TrainedLayer.state`.

    Attributes:
        name: as users type it.
        schedule: how sparsity grows, unless the user says otherwise.
        allocation: of sparsity to layers, unless the user says otherwise.
        ramp: where in the training sparsity starts and ends to grow, unless the user says so.
    """

    name: str
    schedule = "cubic"
    allocation = "uniform"
    ramp = (0.1, 0.7)

    def start(self, layer: TrainedLayer, sparsity: float, random: torch.Generator) -> None:
        """Prepare a layer that has the given sparsity from the first step on."""

    def see_gradient(self, layer: TrainedLayer, gradient: Tensor, *, due: bool) -> None:
        """Look at the gradient of an optimizer step, masked weights included.

        Called right after the step, for the gradient is complete then even if the optimizer
        computes it itself (`optimizer.step(closure)`).

        Args:
            layer: whose weight has moved already; masked weights may be nonzero for now.
            gradient: float32 `[rows, columns]`, unscaled.
            due: whether `renew` follows.
        """

    def after_step(self, layer: TrainedLayer) -> None:
        """Change the weight after each optimizer step."""

    def renew(self, layer: TrainedLayer, moment: Moment) -> None:
        """Set the mask anew. Weights that it removes are zeroed afterwards."""
        raise NotImplementedError
