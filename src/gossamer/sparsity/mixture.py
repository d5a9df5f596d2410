"""The mix of levels that loses least within a budget.

Every layer may be at one of several levels, each of which costs something and loses something; the
sum of the costs is bounded and the sum of the losses is to be least: a multiple-choice knapsack.
Frantar, Alistarh: SPDY: Accurate Pruning with Speedup Guarantees, 2022 (section 3.2 and algorithm
1), solve it by a dynamic programme over a cost that is counted in whole buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BUCKETS = 8192
"""Of what a budget leaves beyond the cheapest levels: each layer errs by at most one of them."""

Numbers = NDArray[np.float64]


def least_loss(
    losses: Sequence[Numbers],
    costs: Sequence[Numbers],
    budget: float,
    *,
    buckets: int = BUCKETS,
) -> list[int] | None:
    """Choose one level for every layer.

    Costs are rounded up to whole buckets, so that the budget holds whatever is rounded; what is
    left of it in the end is spent on single layers, the best bargain first. Where the costs are
    whole numbers of buckets, the choice is the best there is.

    Args:
        losses: of each layer at each of its levels, finite.
        costs: of each layer at each of its levels, finite, in any unit.
        budget: bound on the sum of costs, in their unit.
        buckets: the slack, `budget` less the sum of the cheapest, is counted in so many.

    Returns:
        The number of the level for each layer, or None if even the cheapest levels cost more than
        the budget.
    """
    least = [float(cost.min()) for cost in costs]
    slack = budget - sum(least)
    # What is met but for the last bits of sums is met.
    if slack < -1e-9 * sum(float(np.abs(cost).max()) for cost in costs):
        return None
    unit = max(slack, 0.0) / buckets
    best = np.zeros(buckets + 1)
    picked = np.zeros((len(losses), buckets + 1), np.int16)
    spent: list[NDArray[np.int64]] = []
    for layer, (loss, cost) in enumerate(zip(losses, costs, strict=True)):
        steps = _steps(cost - least[layer], unit, buckets)
        spent.append(steps)
        reached = np.full(buckets + 1, np.inf)
        for level, step in enumerate(steps):
            if step > buckets:
                continue
            candidate = best[: buckets + 1 - step] + loss[level]
            better = candidate < reached[step:]
            reached[step:][better] = candidate[better]
            picked[layer, step:][better] = level
        best = reached
    chosen = [0] * len(losses)
    left = buckets
    for layer in range(len(losses) - 1, -1, -1):
        chosen[layer] = int(picked[layer, left])
        left -= int(spent[layer][chosen[layer]])
    _spend_rest(chosen, losses, costs, budget)
    return chosen


def _steps(extra: Numbers, unit: float, buckets: int) -> NDArray[np.int64]:
    """Return costs beyond the cheapest in whole buckets; more than there are for what is out."""
    if unit == 0.0:
        return np.where(extra > 0, buckets + 1, 0)
    # Whole numbers of buckets must not be rounded up for the last bit of a quotient.
    return np.minimum(np.ceil(extra / unit - 1e-6), buckets + 1).astype(np.int64)


def _spend_rest(
    chosen: list[int], losses: Sequence[Numbers], costs: Sequence[Numbers], budget: float
) -> None:
    """Use what rounding left of the budget, one layer after the other, in place."""
    rest = budget - sum(float(cost[level]) for cost, level in zip(costs, chosen, strict=True))
    while True:
        gains: list[tuple[float, int, int]] = []
        for layer, level in enumerate(chosen):
            gain = losses[layer][level] - losses[layer]
            extra = costs[layer] - costs[layer][level]
            gain = np.where((extra <= 0) | (extra <= rest), gain, -np.inf)
            other = int(np.argmax(gain))
            if gain[other] > 0:
                gains.append((float(gain[other]), layer, other))
        if not gains:
            return
        _, layer, other = max(gains)
        rest -= float(costs[layer][other] - costs[layer][chosen[layer]])
        chosen[layer] = other
