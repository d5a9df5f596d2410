"""Allocation: how much sparsity each layer gets.

Here are the parts that know no model: from numbers of weights, shapes or scores to a sparsity for
each layer. `gossamer.pruning.allocations` has all of them by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def one_threshold(scores: Mapping[str, NDArray[Any]], sparsity: float) -> dict[str, float]:
    """Remove the lowest scores of all layers together: one threshold for the whole model.

    Ranking over all layers at once is that of Lee, Ajanthan, Torr: SNIP, 2019 (algorithm 1). Here
    the scores of each layer are first divided by their root mean square: layers differ in scale by
    what their norms and inputs make of it, and not by how much they matter.

    Args:
        scores: of each weight, by layer; the higher, the more it matters.
        sparsity: over all layers together, 0 to 1.

    Returns:
        The sparsity of each layer, exactly `round(sparsity * n)` weights of all n together.

    Raises:
        OptionError: if `sparsity` is outside 0..1.
    """
    sparsity = checked_sparsity(sparsity)
    scaled = {name: _scaled(values) for name, values in scores.items()}
    total = sum(values.size for values in scaled.values())
    removed = round(sparsity * total)
    if removed in (0, total):
        return dict.fromkeys(scores, float(removed > 0))
    threshold = np.partition(np.concatenate(list(scaled.values())), removed - 1)[removed - 1]
    below = {name: int((values < threshold).sum()) for name, values in scaled.items()}
    # Of the scores at the threshold itself as many go as are still missing, layer after layer.
    missing = removed - sum(below.values())
    shares = {}
    for name, values in scaled.items():
        ties = min(missing, int((values == threshold).sum()))
        missing -= ties
        shares[name] = (below[name] + ties) / values.size
    return shares


def _scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    flat = np.asarray(values, np.float32).ravel()
    size = float(np.sqrt(np.square(flat, dtype=np.float64).mean()))
    return flat / np.float32(size) if size > 0 else flat


def settle(
    shares: Mapping[str, float], weights: Mapping[str, int], sparsity: float
) -> dict[str, float]:
    """Return nearby shares that add up to a stated sparsity exactly.

    The densities are scaled by one factor, none of them above 1, and the last few weights go to
    the layers with the largest remainders.

    Args:
        shares: sparsity of each layer, 0 to 1, by its name.
        weights: number of weights of each layer.
        sparsity: over all layers together, 0 to 1.

    Returns:
        Sparsities with which `round(sparsity * n)` weights of all n go.

    Raises:
        OptionError: if `sparsity` is outside 0..1.
    """
    sparsity = checked_sparsity(sparsity)
    names = list(shares)
    sizes = np.array([weights[name] for name in names], np.float64)
    # A layer that lost everything can be given something again.
    densities = np.maximum(1.0 - np.array([shares[name] for name in names]), 1e-12)
    total = int(sizes.sum())
    kept = total - round(sparsity * total)
    full = np.zeros(len(names), np.bool_)
    while not full.all():
        factor = (kept - sizes[full].sum()) / (sizes * densities)[~full].sum()
        over = ~full & (factor * densities >= 1.0)
        if not over.any():
            densities[~full] *= factor
            break
        full |= over
    densities[full] = 1.0
    exact = sizes * np.clip(densities, 0.0, 1.0)
    whole = np.floor(exact + 1e-9)
    rest = kept - int(whole.sum())
    for index in np.argsort(-(exact - whole), kind="stable")[:rest]:
        whole[index] += 1
    return {
        name: float(1.0 - whole[index] / sizes[index]) if sizes[index] else 0.0
        for index, name in enumerate(names)
    }
