"""Log-sum reweighted group sparsity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gossamer.pruning.methods.method import Method, Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer
from gossamer.sparsity.patterns import Block, Pattern


class LogSum(Method):
    """Shrinks groups of weights until the smallest are zero, and large ones hardly at all.

    Yang et al. 2020 (arXiv 2002.10080) replace the count of nonzero groups by the penalty
    `lambda * sum log(1 + ||w_g|| / eps)` and minimise it by proximal iterative reweighting. Theirs
    are the penalty, its majoriser (a group lasso with the weights `rho_g = 1 / (||w_g|| + eps)`,
    renewed from the last solution) and the proximal step of that.

    Ours is what makes it fit for training a network: the groups are the pattern's blocks (single
    weights, blocks or whole rows), one proximal step
    `w_g *= max(0, 1 - lambda * rho_g / ||w_g||)` follows each optimizer step, and lambda (which
    includes the learning rate) is chosen for each layer at each renewal: without any gradient just
    the groups that must be gone at the next renewal would be zero by then. Groups that the
    gradient holds up against it survive, others go. When the ramp ends, the groups that have the
    largest norm are kept, exactly as many as asked for, and training goes on without penalty. A
    group's norm is its root mean square, so that smaller blocks at the edge count alike.
    """

    name = "logsum"
    # eps as a fraction of the layer's mean norm when its ramp starts.
    epsilon = 0.1

    def after_step(self, layer: TrainedLayer) -> None:
        """Take the proximal step of the group lasso."""
        if "shrink" not in layer.state:
            return
        norms = group_norms(layer.weight(), layer.pattern)
        tiny = torch.finfo(torch.float32).tiny
        factor = (1 - layer.state["shrink"] / norms.clamp(min=tiny)).clamp_(min=0)
        with torch.no_grad():
            layer.parameter.mul_(layer.unfolded(factor).to(layer.parameter.dtype))

    def renew(self, layer: TrainedLayer, moment: Moment) -> None:
        """Renew the weights of the groups; choose the mask when the ramp is over."""
        norms = group_norms(layer.weight(), layer.pattern)
        if moment.progress >= 1:
            layer.mask = layer.choose(norms, moment.sparsity)
            layer.state.clear()
            return
        if "epsilon" not in layer.state:
            tiny = torch.finfo(torch.float32).tiny
            layer.state["epsilon"] = (self.epsilon * norms.mean()).clamp(min=tiny)
        epsilon = layer.state["epsilon"]
        gone = ~layer.choose(norms, moment.next_sparsity)
        # The largest norm that must vanish within so many steps of lambda / (norm + eps) each.
        threshold = norms.masked_fill(~gone, 0).max()
        # A hair more than that, so that rounding leaves no remainder.
        strength = 1.001 * threshold * (threshold + epsilon) / moment.steps
        shrink = strength / (norms + epsilon)
        if layer.pattern.sparsity is not None:
            # A threshold for all would take more than n of m where these are small.
            shrink = shrink.masked_fill(layer.choose(norms, layer.pattern.sparsity), 0)
        layer.state["shrink"] = shrink


def group_norms(weight: Tensor, pattern: Pattern) -> Tensor:
    """Return for each weight the root mean square of its group, `[rows, columns]`.

    Groups are the blocks that the pattern keeps or removes whole; single weights if it has none.
    """
    if not isinstance(pattern, Block):
        return weight.abs()
    rows = min(pattern.shape[0], weight.shape[0])
    columns = min(pattern.shape[1], weight.shape[1])
    missing = (0, -weight.shape[1] % columns, 0, -weight.shape[0] % rows)

    def sums(values: Tensor) -> Tensor:
        padded = functional.pad(values, missing)
        return padded.reshape(padded.shape[0] // rows, rows, -1, columns).sum(dim=(1, 3))

    norms = (sums(weight.square()) / sums(torch.ones_like(weight))).sqrt()
    spread = norms.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    return spread[: weight.shape[0], : weight.shape[1]]
