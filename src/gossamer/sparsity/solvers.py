"""Solvers: from a dense layer to its sparse weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from gossamer.sparsity.admm import solve_admm
from gossamer.sparsity.obs import solve_obs
from gossamer.sparsity.registry import named
from gossamer.sparsity.scores import SCORES, Score

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.sparsity.patterns import Pattern
    from gossamer.sparsity.statistics import LayerStatistics


class Solution(NamedTuple):
    """A sparse layer.

    Attributes:
        weight: `[rows, columns]`.
        mask: boolean, of the same shape; where it is False the weight is zero.
        offset: to be added to the layer's bias, `[rows]`; None leaves that as it is.
    """

    weight: Tensor
    mask: Tensor
    offset: Tensor | None = None


class Solver(Protocol):
    """Removes weights from one layer.

    Attributes:
        needs: what must be known of the layer's inputs: nothing, the norm of each, or X^T X.
        aims: whether it fits the layer to targets, those of the dense model, where the statistics
            have them; else each layer is to do to its inputs what its dense weight does.
    """

    name: str
    needs: Literal["nothing", "norms", "hessian"]
    aims: bool

    def solve(
        self,
        weight: Tensor,
        statistics: LayerStatistics | None,
        pattern: Pattern,
        sparsity: float,
    ) -> Solution:
        """Return the layer with the fraction `sparsity` of its weights removed.

        Args:
            weight: `[rows, columns]`, float32 or float64; left as it is.
            statistics: of the layer's calibration inputs; may be None if `needs` is "nothing".
            pattern: which weights may be removed together.
            sparsity: 0 to 1.
        """
        ...


class ScoreSolver:
    """Removes the lowest scores and leaves the other weights as they are."""

    aims = False

    def __init__(self, score: Score) -> None:
        self.name = score.name
        self.needs: Literal["nothing", "norms", "hessian"] = (
            "norms" if score.calibrated else "nothing"
        )
        self._score = score

    def solve(
        self,
        weight: Tensor,
        statistics: LayerStatistics | None,
        pattern: Pattern,
        sparsity: float,
    ) -> Solution:
        """See `Solver.solve`."""
        scores = self._score.function(weight, statistics)
        mask = pattern.mask(scores, sparsity, per_row=self._score.per_row)
        return Solution(weight * mask, mask)


Solve = Callable[["Tensor", "LayerStatistics | None", "Pattern", float], tuple[Any, ...]]
"""From weight, statistics, pattern and sparsity to the parts of a `Solution`, in order."""


class HessianSolver:
    """Changes the weights that stay, by what the Hessian of the layer's inputs says."""

    needs: Literal["nothing", "norms", "hessian"] = "hessian"

    def __init__(self, name: str, solve: Solve, *, aims: bool) -> None:
        self.name = name
        self.aims = aims
        self._solve = solve

    def solve(
        self,
        weight: Tensor,
        statistics: LayerStatistics | None,
        pattern: Pattern,
        sparsity: float,
    ) -> Solution:
        """See `Solver.solve`."""
        return Solution(*self._solve(weight, statistics, pattern, sparsity))


SOLVERS: dict[str, Solver] = {
    **{name: ScoreSolver(score) for name, score in SCORES.items()},
    "obs": HessianSolver("obs", solve_obs, aims=False),
    "admm": HessianSolver("admm", solve_admm, aims=True),
}


def get_solver(name: str) -> Solver:
    """Return the solver of that name.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("solver", name, SOLVERS)
