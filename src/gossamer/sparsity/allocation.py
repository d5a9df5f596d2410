"""Allocation: how much sparsity each layer gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gossamer.sparsity.registry import checked_sparsity, named

Allocation = Callable[[Mapping[str, int], float], dict[str, float]]


def uniform(weights: Mapping[str, int], sparsity: float) -> dict[str, float]:
    """Give every layer the same sparsity.

    Args:
        weights: number of weights of each layer, by its name.
        sparsity: over all of them together, 0 to 1.

    Returns:
        The sparsity of each layer, by its name.
    """
    sparsity = checked_sparsity(sparsity)
    return dict.fromkeys(weights, sparsity)


ALLOCATIONS: dict[str, Allocation] = {"uniform": uniform}


def get_allocation(name: str) -> Allocation:
    """Return the allocation of that name.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("allocation", name, ALLOCATIONS)
