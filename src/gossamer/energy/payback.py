"""After how many inferences the energy that sparsifying took is repaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.energy.comparison import CandidateResult, Energy
from gossamer.energy.spending import Spending
from gossamer.energy.statistics import LEAST_ROUNDS, Interval


@dataclass(frozen=True)
class Payback:
    """What sparsifying took, and what each inference gives back.

    Attributes:
        spent: on sparsifying.
        against: the dense candidate that takes least, whose name this is.
        saved_joules: by one inference; None where no saving is sure.
        inferences: after which what was spent is repaid, and the ends that the intervals of both
            models' joules give; None where no saving is sure.
        says: this in one sentence.
    """

    spent: Spending
    against: str
    saved_joules: float | None
    inferences: Interval | None
    says: str


def payback(spent: Spending, dense: Sequence[CandidateResult], sparse: CandidateResult) -> Payback:
    """Compare what was spent with what one inference saves.

    Against the dense candidate that takes least, since what a better engine saves is no merit of
    sparsity; and by an energy of the kind that was spent, where there is one.

    Args:
        spent: on sparsifying.
        dense: the dense model in the engines that it was measured in.
        sparse: of the same comparison.
    """
    took = f"Sparsifying took {spent.joules / 3600:.3g} Wh ({spent.kind})"
    at = _alike(spent, sparse.energies)
    own = sparse.energies[at]
    rivals = [
        (one.name, energy.joules)
        for one in dense
        for energy in one.energies
        if energy.meter == own.meter and energy.joules is not None
    ]
    if own.joules is None or not rivals:
        return Payback(spent, "", None, None, f"{took}; what an inference takes was not measured.")
    name, least = min(rivals, key=lambda rival: rival[1].median)
    against = f"against {name}"
    # The ends are those of the joules, the widest that the two intervals allow.
    saved = [
        least.median - own.joules.median,
        least.high - own.joules.low,
        least.low - own.joules.high,
    ]
    if min(saved) <= 0 or own.rounds < LEAST_ROUNDS:
        says = f"{took}; no sure saving {against} was found that would repay it."
        return Payback(spent, name, None, None, says)
    inferences = Interval(*(spent.joules / joules for joules in saved))
    mixed = "" if own.kind == spent.kind else f" (an inference's energy is {own.kind})"
    return Payback(
        spent,
        name,
        saved[0],
        inferences,
        f"{took}; {against} it is repaid after {_round(inferences.median)} inferences "
        f"({_round(inferences.low)} to {_round(inferences.high)}){mixed}.",
    )


def _alike(spent: Spending, energies: Sequence[Energy]) -> int:
    """Return which energy is of the kind that was spent; the one to go by if there is none."""
    for at, energy in enumerate(energies):
        if energy.kind == spent.kind and energy.joules is not None:
            return at
    return 0


def _round(number: float) -> str:
    """Return a number with three figures and a blank between thousands."""
    digits = max(0, 3 - len(str(int(number))))
    shown = round(number, 3 - len(str(int(number))))
    return f"{shown:,.{digits}f}".replace(",", " ")
