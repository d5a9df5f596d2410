"""Allocation: how much sparsity each layer gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gossamer.sparsity.registry import checked_sparsity

if TYPE_CHECKING:
    from gossamer.sparsity.patterns import Pattern


class Choice(NamedTuple):
    """What is to become of a layer: the pattern of its zeros and their fraction, 0 to 1."""

    pattern: Pattern
    sparsity: float


def uniform(weights: Mapping[str, int], sparsity: float) -> dict[str, float]:
    """Give every layer the same sparsity.

    Args:
        weights: number of weights of each layer, by its name.
        sparsity: over all of them together, 0 to 1.

    Returns:
        The sparsity of each layer, by its name.

    Raises:
        OptionError: if `sparsity` is outside 0..1.
    """
    sparsity = checked_sparsity(sparsity)
    return dict.fromkeys(weights, sparsity)
