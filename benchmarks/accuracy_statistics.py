"""Spearman's correlation under resampling, and intervals of losses and of their ratios.

Losses are compared in pairs: each replicate of the bootstrap draws the same documents for every
method, so that what makes a draw hard for all of them cancels in a ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

REPLICATES = 1000
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


def draws(count: int, replicates: int = REPLICATES) -> Iterator[NDArray[np.int64]]:
    """How often each of `count` documents is drawn, for one replicate after another: the same for
    every method."""
    random = np.random.default_rng(0)
    for _ in range(replicates):
        yield np.bincount(random.integers(0, count, count), minlength=count)


class Ranks:
    """Values in order, to be ranked again under changing weights without sorting anew.

    Args:
        values: [n] numbers.
    """

    def __init__(self, values: ArrayLike) -> None:
        values = np.asarray(values, np.float64)
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        # Equal values share the mean of their ranks.
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self._starts = first if len(first) < len(values) else None

    def weighted(self, weights: Floats) -> Floats:
        """The mean rank of each value in a sample that holds it `weights` times: [n]."""
        own = weights[self._order]
        if self._starts is not None:
            sums = np.add.reduceat(own, self._starts)
            sizes = np.diff(self._starts, append=len(own))
            middle = np.repeat(np.cumsum(sums) - sums / 2, sizes)
        else:
            middle = np.cumsum(own) - own / 2
        ranks = np.empty_like(middle)
        ranks[self._order] = middle
        return ranks


def correlation(first: Floats, other: Floats, weights: Floats) -> float:
    """Pearson's correlation of two samples [n] that hold each pair of values `weights` times."""
    total = weights.sum()
    first = first - first @ weights / total
    other = other - other @ weights / total
    scale = np.sqrt((first * first) @ weights * ((other * other) @ weights))
    return float((first * other) @ weights / scale)


def spearman(first: Ranks, other: Ranks, weights: Floats) -> float:
    """Spearman's rank correlation of two samples that hold each pair of values `weights` times."""
    return correlation(first.weighted(weights), other.weighted(weights), weights)


def interval(replicates: ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap replicates."""
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.asarray(replicates, np.float64), [tail, 100 - tail])
    return float(low), float(high)


def ratio_interval(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """The 95 % interval of one method's mean loss over another's, draw by draw.

    Args:
        ours: replicates of the loss, one row a seed.
        theirs: likewise of the other method; the same draws in the same order.
    """
    return interval(np.mean(ours, axis=0) / np.mean(theirs, axis=0))
