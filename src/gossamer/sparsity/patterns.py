"""Patterns: which sets of weights may be removed together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gossamer.sparsity.registry import checked_sparsity, named

if TYPE_CHECKING:
    from torch import Tensor


class Pattern(Protocol):
    """Turns scores into a mask that the pattern allows."""

    name: str

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Choose the weights to keep.

        Args:
            scores: `[rows, columns]`; the higher, the more a weight matters.
            sparsity: fraction of weights to remove, 0 to 1.
            per_row: compare weights only within their row, so that every row loses equally many.

        Returns:
            Boolean `[rows, columns]`; True keeps the weight.
        """
        ...


class Unstructured:
    """Any weight may go: the lowest scores do.

    Of n weights compared with each other exactly `round(sparsity * n)` are removed, ties included.
    """

    name = "unstructured"

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Keep the highest scores; see `Pattern.mask`."""
        sparsity = checked_sparsity(sparsity)
        compared = scores if per_row else scores.reshape(1, -1)
        removed = round(sparsity * compared.shape[1])
        lowest = compared.topk(removed, dim=1, largest=False, sorted=False).indices
        keep = compared.new_ones(compared.shape).bool()
        return keep.scatter_(1, lowest, False).reshape(scores.shape)


PATTERNS: dict[str, Pattern] = {pattern.name: pattern for pattern in (Unstructured(),)}


def get_pattern(name: str) -> Pattern:
    """Return the pattern of that name.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("pattern", name, PATTERNS)
