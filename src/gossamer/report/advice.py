"""The table of `gossamer advise`: a row for each sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.report.quantities import count, figures, quantity, size


def print_advice(advice: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what each sparsity would save, and the verdict.

    Args:
        advice: `Advice.to_dict()`.
        console: where to; standard output by default.
    """
    console = console or Console()
    table = Table(
        header_style="bold",
        pad_edge=False,
        collapse_padding=True,
        box=box.SIMPLE_HEAD if console.is_terminal else None,
    )
    kind = advice["candidates"][0]["energy"]["kind"]
    table.add_column("model", no_wrap=True)
    for column in ("latency", "times faster", f"joules ({kind})", "file"):
        table.add_column(column, justify="right")
    for candidate in advice["candidates"]:
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            _gain(candidate),
            quantity(candidate["energy"]["joules"]["median"], "J"),
            size(candidate["file_bytes"]),
        )
    console.print(table)
    console.print()
    machine = advice["environment"]
    for note in (
        advice["verdict"],
        f"Sparsity is over the {count(advice['prunable_weights'])} weights that sparsify prunes by "
        "default. Whether the accuracy survives it, sparsify --evaluate finds out.",
        f"Times faster is against dense in ONNX Runtime, with 95 % intervals over "
        f"{advice['rounds']} turns.",
        f"Energy is {advice['candidates'][0]['energy']['method']}.",
        f"{machine['processor']}, {machine['cores']} cores.",
    ):
        console.print(Text(note))


def _gain(candidate: Mapping[str, Any]) -> Text:
    if candidate["gains"] is None:
        return Text("1")
    gain = candidate["gains"]["latency"]
    style = "green" if gain["low"] > 1 else "red" if gain["high"] < 1 else "dim"
    low, high = figures(gain["low"]), figures(gain["high"])
    return Text(f"{figures(gain['median'])} ({low}-{high})", style)
