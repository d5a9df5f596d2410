"""A layer while it becomes sparse: its weight as a matrix, its mask, and what a method notes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gossamer.models.torch_layers import TorchLayer
from gossamer.pruning.distributed import average_over_ranks
from gossamer.sparsity.patterns import Pattern, Unstructured


class TrainedLayer:
    """One prunable weight in training.

    Attributes:
        name: of the parameter, without wrappers.
        parameter: the weight itself.
        sparsity: that the layer has in the end, 0 to 1.
        pattern: of its zeros.
        mask: boolean `[rows, columns]`; False is a weight that is zero.
        state: what the method keeps of the layer from step to step; it goes into checkpoints.
    """

    def __init__(self, name: str, found: TorchLayer, sparsity: float, pattern: Pattern) -> None:
        self.name = name
        self.parameter = found.parameter
        self.sparsity = sparsity
        self.pattern = pattern
        self.state: dict[str, Tensor] = {}
        self._found = found
        self.mask = torch.ones_like(self.matrix(self.parameter.detach()), dtype=torch.bool)

    def matrix(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the parameter's shape as `[rows, columns]`; a view if it can be."""
        return self._found.matrix(tensor)

    def unfolded(self, matrix: Tensor) -> Tensor:
        """Return `[rows, columns]` in the parameter's shape."""
        return self._found.unfolded(matrix)

    def weight(self) -> Tensor:
        """Return the weight as it is now, float32 `[rows, columns]`."""
        return self.matrix(self.parameter.detach()).float()

    def choose(self, scores: Tensor, sparsity: float) -> Tensor:
        """Return the mask of the highest scores.

        Where several processes train one model, scores are averaged over them first, so that all
        choose alike. A pattern of one sparsity (n:m) is reached weight by weight: at less, of those
        that it removes only the lowest scores go; at more, the lowest go of those that it keeps.
        """
        scores = average_over_ranks(scores)
        mask = self.pattern.mask(scores, sparsity)
        fixed = self.pattern.sparsity
        if fixed is None or math.isclose(sparsity, fixed):
            return mask
        if sparsity < fixed:
            # Where it does not fill the last columns, it removes less than its sparsity.
            share = sparsity / fixed * (1 - float(mask.float().mean()))
            return Unstructured().mask(scores.masked_fill(mask, torch.inf), share)
        return Unstructured().mask(scores.masked_fill(~mask, -torch.inf), sparsity) & mask

    @torch.no_grad()
    def apply(self) -> None:
        """Set the masked weights to zero, whatever they are."""
        self.parameter.masked_fill_(self.unfolded(~self.mask), 0)

    def follow(self) -> None:
        """Move mask and state to the parameter's device."""
        device = self.parameter.device
        if self.mask.device != device:
            self.mask = self.mask.to(device)
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}
