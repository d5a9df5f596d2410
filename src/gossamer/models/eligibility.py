"""What of a model is pruned and what is not, in sentences, as shares of the whole model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gossamer.models.adapter import Layer, LeftOut
from gossamer.quantities import listed


def eligibility(
    layers: Sequence[Layer], chosen: Collection[str], left_out: Sequence[LeftOut], weights: int
) -> list[str]:
    """Return what is to be said of the weights that pruning does not reach, or in vain.

    Args:
        layers: every prunable layer of the model.
        chosen: names of those that are pruned.
        left_out: the weights that no layer holds.
        weights: number of weights in the whole model.
    """

    def told(found: Sequence[Layer | LeftOut]) -> str:
        return f"{listed(one.name for one in found)} ({share(found)})"

    def share(found: Sequence[Layer | LeftOut]) -> str:
        part = sum(one.weights for one in found) / max(1, weights)
        return f"{100 * part:.1f} % of the model's weights"

    pruned = [layer for layer in layers if layer.name in chosen]
    dense = [layer for layer in layers if layer.name not in chosen]
    notes = []
    if kept := [layer for layer in dense if layer.gain]:
        notes.append(f"Left dense, though layers= can name them: {told(kept)}.")
    if idle := [layer for layer in dense if not layer.gain]:
        notes.append(
            f"Left dense, as no kernel skips zeros there: {told(idle)}; layers= that names them "
            "prunes them all the same."
        )
    if vain := [layer for layer in pruned if not layer.gain]:
        notes.append(f"No gain here, as no kernel skips zeros there: {told(vain)}.")
    reasons: dict[tuple[str, str], list[LeftOut]] = {}
    for one in left_out:
        reasons.setdefault((one.kind, one.reason), []).append(one)
    for (kind, reason), found in reasons.items():
        notes.append(f"Cannot be pruned, {kind}: {told(found)}: {reason}.")
    if notes:
        notes.insert(0, f"The pruned layers hold {share(pruned)}.")
    return notes
