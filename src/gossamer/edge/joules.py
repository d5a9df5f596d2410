"""What an inference takes, from what `gossamer compare --json` printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossamer.errors import ScenarioError


@dataclass(frozen=True)
class Joules:
    """Energy of one inference of one model.

    Attributes:
        model: the candidate's name.
        median, low, high: joules, with the ends of the 95 % interval.
        kind: "measured" or "estimated".
        method: how the figure was made.
    """

    model: str
    median: float
    low: float
    high: float
    kind: str
    method: str


def compared_joules(
    comparison: str | Path, sparse: str | Path | None = None
) -> tuple[Joules, Joules]:
    """Return what an inference of the dense and of the sparse model takes.

    Args:
        comparison: a file of what `gossamer compare --json` printed; its first candidate, the
            dense model in ONNX Runtime, is the dense one.
        sparse: another such file, whose last candidate, the sparse model in Gossamer, is the
            sparse one; None if it is in the first file too.

    Raises:
        ScenarioError: if a file is not one that `gossamer compare --json` printed, or has no
            energy for that candidate.
    """
    return _joules(comparison, 0), _joules(comparison if sparse is None else sparse, -1)


def _joules(path: str | Path, place: int) -> Joules:
    try:
        document: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"{path} cannot be read ({error}); give what `gossamer compare --json` printed"
        ) from error
    try:
        candidate = document["candidates"][place]
        energy = candidate["energy"]
        joules = energy["joules"]
        if joules is None:
            raise ScenarioError(
                f"{path} has no energy of {candidate['name']!r} ({energy['note']}); measure again "
                "with a longer --min-time"
            )
        found = Joules(
            model=str(candidate["name"]),
            median=float(joules["median"]),
            low=float(joules["low"]),
            high=float(joules["high"]),
            kind=str(energy["kind"]),
            method=str(energy["method"]),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ScenarioError(
            f"{path} holds no comparison; give what `gossamer compare --json` printed"
        ) from error
    if not found.median > 0:
        raise ScenarioError(f"{path} says {found.median:g} J for an inference; measure again")
    return found
