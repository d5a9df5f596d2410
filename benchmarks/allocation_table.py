"""Turn the lines of `allocation.py` into the Markdown tables of docs/accuracy.md.

python benchmarks/allocation_table.py minilm.jsonl cnn.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]

COLUMNS = ("model", "allocation", "sparsity", "loss", "CPU ms", "95 %", "times less than dense")
SUMMARY = ("model", "CPU seconds saved at equal loss", "from ... to", "at least", "")


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """Every point, then what `cost` saves, then what it was measured with."""
    points = [line for line in lines if line["kind"] == "allocation"]
    sums = [line for line in lines if line["kind"] == "allocation summary"]
    if not sums:
        raise SystemExit("there is no summary; let the benchmark run to its end")
    rows = [_row(COLUMNS), _row(["---"] * len(COLUMNS)), *map(_point, points)]
    rows += ["", _row(SUMMARY), _row(["---"] * len(SUMMARY)), *map(_sum, sums), ""]
    first = points[0]
    machine = first["environment"]
    rounds = " and ".join(str(n) for n in sorted({line["rounds"] for line in points}))
    return [
        *rows,
        f"{machine['processor']}, {machine['platform']}, one thread, solver `{first['solver']}`. "
        f"Measured in turn, {rounds} rounds; calibration sample {first['seed']}.",
    ]


def _point(line: Line) -> str:
    low, high = (1e3 * end for end in line["cpu_seconds_interval"])
    return _row(
        [
            line["task"],
            f"{line['allocation']} {line['asked']:g}",
            f"{100 * line['sparsity']:.1f} %",
            f"{line['loss']:.2g}",
            f"{1e3 * line['cpu_seconds']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{line['times_less_than_dense']:.2f}",
        ]
    )


def _sum(line: Line) -> str:
    target = f"{100 * line['target']:g} %"
    if line["saved"] is None:
        return _row([line["task"], "no loss in common", "", target, "**missed**"])
    low, high = (f"{100 * end:.1f}" for end in line["saved_range"])
    reached = "reached" if line["met"] else "**missed**"
    return _row(
        [line["task"], f"{100 * line['saved']:.1f} %", f"{low} to {high} %", target, reached]
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
