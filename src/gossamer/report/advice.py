"""The table of `gossamer advise`: a row for each sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from gossamer.report.quantities import count, quantity, size
from gossamer.report.speed import candidate_table, times_faster


def print_advice(advice: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what each sparsity would save, and the verdict.

    Args:
        advice: `Advice.to_dict()`.
        console: where to; standard output by default.
    """
    console = console or Console()
    kind = advice["candidates"][0]["energy"]["kind"]
    table = candidate_table(console, "model", "latency", "times faster", f"energy ({kind})", "file")
    for candidate in advice["candidates"]:
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            times_faster(candidate),
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
