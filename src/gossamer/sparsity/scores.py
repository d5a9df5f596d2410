"""Scores: how much each weight matters. Higher is kept longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gossamer.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.sparsity.statistics import LayerStatistics


@dataclass(frozen=True)
class Score:
    """A named score.

    Attributes:
        function: from weight `[rows, columns]` and statistics to scores `[rows, columns]`.
        per_row: weights compete within their output row only, not within the whole layer.
        calibrated: the statistics are needed.
    """

    name: str
    function: Callable[[Tensor, LayerStatistics | None], Tensor]
    per_row: bool
    calibrated: bool


def magnitude(weight: Tensor, statistics: LayerStatistics | None = None) -> Tensor:
    """Score a weight by its size, |W|; the statistics are not used."""
    return weight.abs()


def wanda(weight: Tensor, statistics: LayerStatistics | None) -> Tensor:
    """Score a weight by its size times the norm of its input, |W_ij| * ||X_j||_2.

    Sun, Liu, Bair, Kolter: A Simple and Effective Pruning Approach for Large Language Models,
    2023, equation 1.
    """
    if statistics is None:
        raise OptionError("score 'wanda' needs calibration data; give some, or use 'magnitude'")
    norms = statistics.square_sums().sqrt().to(weight)
    grouped = weight.abs().reshape(statistics.groups, -1, weight.shape[1])
    return (grouped * norms.unsqueeze(1)).reshape(weight.shape)


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("magnitude", magnitude, per_row=False, calibrated=False),
        # Section 3 of the paper: comparing per output is what makes the score work.
        Score("wanda", wanda, per_row=True, calibrated=True),
    )
}
