"""What recovery did, for the terminal: how the loss fell, and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gossamer.quantities import count, percent, quantity
from gossamer.report.tables import new_table, print_parts

Document = Mapping[str, Any]

# So many points of the history are listed.
_LISTED = 10


def print_recovery(result: Document, console: Console | None = None) -> None:
    """Print what recovery did.

    Args:
        result: `RecoveryResult.to_dict()`.
        console: where to; standard output by default.
    """
    parts: list[Table | str] = [_history(result)] if result["history"] else []
    print_parts(console, *parts, *_notes(result))


def _history(result: Document) -> Table:
    terms = list(result["losses"])
    table = new_table("step", "learning rate", "loss", *terms)
    for point in _spread(result["history"]):
        values = [point.get(name) for name in ("loss", *terms)]
        table.add_row(
            str(point["step"]),
            f"{point['learning_rate']:.2g}",
            *("-" if value is None else f"{value:.4g}" for value in values),
        )
    return table


def _spread(history: Sequence[Document]) -> list[Document]:
    """Return the first, the last and some points in between, evenly."""
    if len(history) <= _LISTED:
        return list(history)
    last = len(history) - 1
    return [history[round(index * last / (_LISTED - 1))] for index in range(_LISTED)]


def _notes(result: Document) -> list[str]:
    spent = result["energy_spent"]
    cpu, wall = (quantity(result[name], "s") for name in ("cpu_seconds", "seconds"))
    notes = [
        f"Sparsity {percent(result['sparsity'])} over {count(result['weights'])} weights was kept; "
        f"{count(result['steps'])} steps of {result['batch_size']} samples, {result['epochs']:.3g} "
        f"epochs of {count(result['samples'])}, on {result['device']}: "
        f"{cpu} of CPU time in {wall}; {quantity(spent['joules'] / 3600, 'Wh')} in all "
        f"({spent['method']})."
    ]
    before, after = result["before"], result["after"]
    if before and after:
        interval = after["interval"]
        within = f" ({interval[0]:+.4f} to {interval[1]:+.4f})" if interval else ""
        notes.append(
            f"Score {after['dense']:.4f} dense, {before['sparse']:.4f} sparse before and "
            f"{after['sparse']:.4f} after: drop {before['drop']:+.4f} before, "
            f"{after['drop']:+.4f}{within} after."
        )
    return notes + list(result["notes"])
