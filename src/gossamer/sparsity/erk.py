"""Erdős–Rényi kernel allocation: layers with few weights for their size stay denser."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from gossamer.sparsity.allocation import settle


def erk(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Give each layer a density in proportion to the sum of its sides over their product.

    Evci, Gale, Menick, Castro, Elsen: Rigging the Lottery, 2020 (section 3): a layer with sides
    n_1, ..., n_k (outputs, inputs, and a convolution's kernel) has the density
    e (n_1 + ... + n_k) / (n_1 ... n_k), but at most 1, with one e for all.

    Args:
        shapes: of each layer's weight, by its name.
        sparsity: over all layers together, 0 to 1.

    Returns:
        The sparsity of each layer, exactly `round(sparsity * n)` weights of all n together.

    Raises:
        OptionError: if `sparsity` is outside 0..1.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    largest = max(raw.values(), default=1.0)
    return settle({name: 1 - own / largest for name, own in raw.items()}, sizes, sparsity)
