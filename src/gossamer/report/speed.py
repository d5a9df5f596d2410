"""A table of candidates, a row each, and the cell that says how much faster one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.quantities import figures


def candidate_table(console: Console, first: str, *others: str) -> Table:
    """Return an empty table with these columns; lines only where the output is a terminal."""
    table = Table(
        header_style="bold",
        pad_edge=False,
        collapse_padding=True,
        box=box.SIMPLE_HEAD if console.is_terminal else None,
    )
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right")
    return table


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
