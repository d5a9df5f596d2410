"""Alternating directions: choose which weights stay while all of them are being fitted.

Meng, Behdin, Wang, Mazumder: ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for
Large Language Models, 2024 (algorithm 1 and section 3.2). The least-squares problem of a layer is
split: W fits the targets, D obeys the pattern, and the multiplier V with a growing penalty rho
draws them together. Each step is W = (H + rho)^-1 (G - V + rho D), then D = the projection of
W + V / rho, then V += rho (W - D). The weights that stay are refitted at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossamer.errors import OptionError
from gossamer.sparsity.least_squares import DAMPING, least_squares
from gossamer.sparsity.registry import checked_sparsity

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.sparsity.patterns import Pattern
    from gossamer.sparsity.statistics import LayerStatistics

STEPS = 24
_RHO = 0.1
# Steps at one penalty, and its growth: fast while the support still changes a lot (section 3.2).
_EVERY = 3
_GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))


def solve_admm(
    weight: Tensor,
    statistics: LayerStatistics | None,
    pattern: Pattern,
    sparsity: float,
    *,
    steps: int = STEPS,
    damping: float = DAMPING,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Remove the fraction `sparsity` of the weights so that the others come nearest to the targets.

    Weights that are zero to begin with stay zero and count as removed. Where nothing is left to
    remove, this is a least-squares refit.

    Args:
        weight: `[rows, columns]`; left as it is.
        statistics: with the Hessian of the layer's inputs, and with targets if there are any.
        pattern: which weights may be removed together.
        sparsity: 0 to 1; the pattern says how exactly it is met.
        steps: of alternating directions.
        damping: see `least_squares`.

    Returns:
        The sparse weight and its boolean mask, both `[rows, columns]`, and what is to be added to
        the bias, `[rows]`; None if there is none, or without targets.

    Raises:
        OptionError: if there are no statistics, or `sparsity` is outside 0..1.
    """
    import torch

    sparsity = checked_sparsity(sparsity)
    if statistics is None:
        raise OptionError("solver 'admm' needs calibration data; give some, or use 'magnitude'")
    problem = least_squares(weight, statistics, damping)
    zero = problem.scaled(weight) == 0

    def project(values: Tensor) -> Tensor:
        """Return the mask of those to keep."""
        # What a dead input is multiplied by does not matter, so it goes first.
        scores = values.square().masked_fill(problem.dead.unsqueeze(1), 0.0)
        scores = scores.masked_fill(zero, -1.0)
        keep = pattern.mask(scores.reshape(weight.shape), sparsity)
        return keep.reshape(values.shape) & ~zero

    rho = _RHO
    inverse = problem.inverse(rho)
    # From where the targets alone would have the weights.
    fitted = problem.refitted(problem.scaled(weight), ~zero)
    mask = project(fitted)
    sparse = fitted * mask
    multiplier = torch.zeros_like(sparse)
    known = mask
    for step in range(1, steps + 1):
        fitted = (problem.products + rho * sparse - multiplier) @ inverse
        drawn = fitted + multiplier / rho
        mask = project(drawn)
        sparse = drawn * mask
        multiplier += rho * (fitted - sparse)
        if step % _EVERY == 0 and step < steps:
            changed = int((mask != known).sum()) / max(1, int(mask.sum()))
            if not changed:
                break
            known = mask
            rho *= next(growth for least, growth in _GROWTH if changed >= least)
            inverse = problem.inverse(rho)
    refitted = problem.refitted(sparse, mask)
    return problem.unscaled(refitted), mask.reshape(weight.shape), problem.offset(refitted)
