"""Medians with bootstrap intervals, and what an interval says in words.

A percentile bootstrap: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993),
chapter 13. Medians because timings have a long tail on one side; ratios are taken pair by pair, so
that what slows a whole round (another process, a lower clock) cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
# With fewer samples no 95 % interval of a median exists: even the widest, from the least of them
# to the most, holds the true one in fewer than 95 of 100 cases.
LEAST_ROUNDS = 6
_RESAMPLES = 2000
# A difference within two percent is no difference to anyone who pays for energy.
_EQUAL = 1.02


@dataclass(frozen=True)
class Interval:
    """A median and its 95 % interval, in the unit of what was sampled."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """Return the interval of the same samples times `factor`, which is positive."""
        return Interval(self.median * factor, self.low * factor, self.high * factor)


def median_interval(samples: ArrayLike, *, seed: int = 0) -> Interval:
    """Return the median of `samples` and its 95 % percentile bootstrap interval.

    Args:
        samples: [n] independent measurements, n at least 1.
        seed: of the resampling; the same samples always give the same interval.
    """
    values: NDArray[Any] = np.asarray(samples, np.float64)
    chosen = np.random.default_rng(seed).integers(0, values.size, (_RESAMPLES, values.size))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.median(values[chosen], axis=1), [tail, 100 - tail])
    return Interval(float(np.median(values)), float(low), float(high))


def expected_half_width(samples: ArrayLike) -> float:
    """Return half the width that the interval of the median should have, by the median.

    From the interquartile range, for samples that are about normal: 1.96 x 1.2533 x sigma / sqrt(n)
    with sigma = range / 1.349. For telling when there are enough samples: the interval itself
    must not tell, since to stop as soon as it happens to be narrow is to stop where it is wrong too
    often (of such 95 % intervals some 86 to 92 in 100 held the truth, of these 95).

    Args:
        samples: [n] independent measurements, n at least 1, of a median above zero.
    """
    values: NDArray[Any] = np.asarray(samples, np.float64)
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(1.96 * 1.2533 * (high - low) / 1.349 / np.sqrt(values.size) / middle)


def gain_interval(first: ArrayLike, other: ArrayLike, *, seed: int = 0) -> Interval:
    """Return how many times less `other` takes than `first`, pair by pair.

    Args:
        first: [n] measurements of the first candidate, above zero.
        other: [n] measurements of the other in the same rounds, above zero.
        seed: of the resampling.
    """
    ratios = np.asarray(first, np.float64) / np.asarray(other, np.float64)
    return median_interval(ratios, seed=seed)


def verdict(gain: Interval, less: str, more: str, *, rounds: int) -> str:
    """Say in words what a gain means.

    Args:
        gain: how many times less the candidate takes than the first.
        less: the words for a gain above one, such as "faster".
        more: the words for a gain below one, such as "slower".
        rounds: that the interval is over.

    Returns:
        "2.31 times faster (2.25 to 2.40)", "no gain" where the whole interval is within two
        percent of one, "not significant" where a wider interval holds one, or where there were too
        few rounds for any interval.
    """
    if rounds < LEAST_ROUNDS:
        return "not significant"
    if gain.low >= 1 / _EQUAL and gain.high <= _EQUAL:
        return "no gain"
    if gain.low > 1:
        return f"{gain.median:.2f} times {less} ({gain.low:.2f} to {gain.high:.2f})"
    if gain.high < 1:
        inverse = Interval(1 / gain.median, 1 / gain.high, 1 / gain.low)
        return f"{inverse.median:.2f} times {more} ({inverse.low:.2f} to {inverse.high:.2f})"
    return "not significant"
