"""Allocation: how much sparsity each layer gets."""

from __future__ import annotations

from collections.abc import Mapping

from gossamer.sparsity.registry import checked_sparsity


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
