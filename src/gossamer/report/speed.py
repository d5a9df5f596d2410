"""The cell that says how much faster a candidate is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from gossamer.quantities import figures


def times_faster(candidate: Mapping[str, Any]) -> Text:
    """Return how many times faster a candidate is than the first, with its 95 % interval.

    Args:
        candidate: `CandidateResult.to_dict()`.
    """
    return times(candidate, "latency")


def times(candidate: Mapping[str, Any], figure: str) -> Text:
    """Return how many times less of something a candidate takes than the first.

    Args:
        candidate: `CandidateResult.to_dict()`.
        figure: "latency", "cpu_seconds" or "energy".
    """
    if candidate["gains"] is None:
        return Text("1")
    gain = candidate["gains"][figure]
    low, high = figures(gain["low"]), figures(gain["high"])
    return Text(f"{figures(gain['median'])} ({low}-{high})", gain_style(gain))


def gain_style(gain: Mapping[str, float]) -> str:
    """Return a gain's colour: one only where the interval leaves no doubt which takes less."""
    return "green" if gain["low"] > 1 else "red" if gain["high"] < 1 else "dim"
