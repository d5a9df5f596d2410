"""The Erdős-Rényi-Kernel allocation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gossamer.sparsity.registry import checked_sparsity


def erk(shapes: Mapping[str, Sequence[int]], sparsity: float) -> dict[str, float]:
    """Give small and narrow layers more density than large ones.

    Evci et al.: Rigging the Lottery, 2020 (section 3): a layer's density is in proportion to the
    sum of its axes over their product; for convolutions the axes of the kernel count as well.
    Layers that would exceed density 1 stay dense, and the others make up for it.

    Args:
        shapes: of each layer's weight, by its name: rows and columns, or all axes of a convolution.
        sparsity: over all of them together, 0 to 1.

    Returns:
        The sparsity of each layer. They are whole numbers of weights, and
        `round(sparsity * n)` weights of all n go.

    Raises:
        OptionError: if `sparsity` is outside 0..1.
    """
    sparsity = checked_sparsity(sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    axes = {name: float(sum(shape)) for name, shape in shapes.items()}
    kept = sum(sizes.values()) - round(sparsity * sum(sizes.values()))
    dense: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in dense]
        free = kept - sum(sizes[name] for name in dense)
        # The density is factor * axes / size, so that a layer keeps factor * axes weights.
        factor = free / sum(axes[name] for name in rest) if rest else 0.0
        over = {name for name in rest if factor * axes[name] > sizes[name]}
        if not over:
            break
        dense |= over
    exact = {name: float(sizes[name]) if name in dense else factor * axes[name] for name in shapes}
    whole = {name: math.floor(number) for name, number in exact.items()}
    missing = kept - sum(whole.values())
    for name in sorted(shapes, key=lambda name: whole[name] - exact[name])[:missing]:
        whole[name] += 1
    return {name: 1.0 - whole[name] / sizes[name] for name in shapes}
