"""What an inference takes, from what `gossamer compare --json` printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossamer.errors import ScenarioError
from gossamer.formats.json_text import read_json


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


Comparison = str | Path | Mapping[str, Any]


def compared_joules(
    comparison: Comparison, sparse: Comparison | None = None
) -> tuple[Joules, Joules]:
    """Return what an inference of the dense and of the sparse model takes.

    Args:
        comparison: a file of what `gossamer compare --json` printed, or `Proof.to_dict()`; its
            first candidate, the dense model in ONNX Runtime, is the dense one.
        sparse: another such comparison, whose last candidate, the sparse model in Gossamer, is the
            sparse one; None if it is in the first too.

    Raises:
        ScenarioError: if it is not what `gossamer compare --json` printed, or has no energy for
            that candidate.
    """
    return _joules(comparison, 0), _joules(comparison if sparse is None else sparse, -1)


def _joules(given: Comparison, place: int) -> Joules:
    name = "the comparison" if isinstance(given, Mapping) else str(given)
    document = given if isinstance(given, Mapping) else _read(given)
    try:
        candidate = document["candidates"][place]
        energy = candidate["energy"]
        joules = energy["joules"]
        if joules is None:
            raise ScenarioError(
                f"{name} has no energy of {candidate['name']!r} ({energy['note']}); measure again "
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
            f"{name} holds no comparison; give what `gossamer compare --json` printed"
        ) from error
    if not 0 < found.median < float("inf"):
        raise ScenarioError(f"{name} says {found.median:g} J for an inference; measure again")
    return found


def _read(path: str | Path) -> Any:
    try:
        return read_json(Path(path))
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"{path} cannot be read ({error}); give what `gossamer compare --json` printed"
        ) from error
