"""The highest sparsity whose loss of accuracy is still allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

STEPS = 100
"""Sparsities are tried in steps of 1 / STEPS: at most 7 trials decide between 0.01 and 0.99."""


def highest_accepted(attempt: Callable[[float], Found | None]) -> Found | None:
    """Bisect for the highest sparsity that is accepted.

    This takes accuracy to fall as sparsity rises. Where noise makes it rise again, what is found
    is accepted all the same, but a higher sparsity might be too.

    Args:
        attempt: tries a sparsity; returns what was made of it, or None if it is not accepted.

    Returns:
        What `attempt` returned for the highest sparsity accepted, or None if none was.
    """
    accepted, refused = 0, STEPS
    best: Found | None = None
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        found = attempt(middle / STEPS)
        if found is None:
            refused = middle
        else:
            accepted, best = middle, found
    return best
