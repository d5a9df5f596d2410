"""After how many inferences the energy that sparsifying took is repaid."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.energy.comparison import CandidateResult, Energy
from gossamer.energy.spending import Spending
from gossamer.energy.statistics import Interval


@dataclass(frozen=True)
class Payback:
    """What sparsifying took, and what each inference gives back.

    Attributes:
        spent: on sparsifying.
        saved_joules: by one inference, against the dense model; None where nothing is saved.
        inferences: after which what was spent is repaid, with the interval that the gain's gives;
            None where nothing is saved.
        says: this in one sentence.
    """

    spent: Spending
    saved_joules: float | None
    inferences: Interval | None
    says: str


def payback(spent: Spending, dense: CandidateResult, sparse: CandidateResult) -> Payback:
    """Compare what was spent with what one inference saves.

    Like is compared with like where it can be: by an energy of the kind that was spent.

    Args:
        spent: on sparsifying.
        dense: the first of a comparison.
        sparse: another of the same comparison.
    """
    first, other = _alike(spent, dense, sparse)
    took = f"Sparsifying took {spent.joules / 3600:.3g} Wh ({spent.kind})"
    mixed = "" if first.kind == spent.kind else f"; an inference's energy is {first.kind}"
    if first.joules is None or other.gain is None or other.gain.low <= 1:
        return Payback(spent, None, None, f"{took}; it is not repaid, since no energy is saved.")
    saved = [first.joules.median * (1 - 1 / gain) for gain in _ends(other.gain)]
    inferences = Interval(*(spent.joules / joules for joules in saved))
    return Payback(
        spent,
        saved[0],
        inferences,
        f"{took}{mixed}; it is repaid after {_round(inferences.median)} inferences "
        f"({_round(inferences.low)} to {_round(inferences.high)}).",
    )


def _alike(
    spent: Spending, dense: CandidateResult, sparse: CandidateResult
) -> tuple[Energy, Energy]:
    for first, other in zip(dense.energies, sparse.energies, strict=True):
        if first.kind == spent.kind and first.joules is not None:
            return first, other
    return dense.energy, sparse.energy


def _ends(gain: Interval) -> tuple[float, float, float]:
    """Return the gain and its ends, the one that saves most before the one that saves least."""
    return gain.median, gain.high, gain.low


def _round(number: float) -> str:
    """Return a number with three figures and a blank between thousands."""
    digits = max(0, 3 - len(str(int(number))))
    shown = round(number, 3 - len(str(int(number))))
    return f"{shown:,.{digits}f}".replace(",", " ")
