"""Turn the lines of `recovery.py` into the Markdown table of docs/accuracy.md.

python benchmarks/recovery_table.py recovery.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from accuracy_statistics import interval

Line: TypeAlias = Mapping[str, Any]

# How far the correlation with people's judgements may lie below the dense model's, relative to it,
# after at most so many CPU minutes.
LIMITS = {0.7: 0.01, 0.8: 0.02}
MINUTES = 30.0
COLUMNS = (
    "sparsity",
    "",
    "1 - Spearman to dense",
    "95 %",
    "topics right %",
    "people, Pearson",
    "to dense",
    "people, Spearman",
    "steps",
    "CPU minutes",
    "at most",
    "",
)


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """The table, and below it what it was measured with."""
    measured = [line for line in lines if line["kind"] == "recovery"]
    rows = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    if measured:
        rows.append(_row(["", "dense", "0", "", *_figures(measured, "dense"), "", "", "", ""]))
    settings = {_setting(line): None for line in measured}
    for sparsity, solver, minutes in sorted(settings):
        seeds = [line for line in measured if _setting(line) == (sparsity, solver, minutes)]
        share = f"{100 * sparsity:g} %"
        rows.append(_row([share, f"`{solver}`", *_losses(seeds, "before"), "", "", "", ""]))
        steps = statistics.fmean(line["recovery"]["steps"] for line in seeds)
        spent = statistics.fmean(line["recovery"]["cpu_seconds"] for line in seeds) / 60
        cells = [share, "recovered", *_losses(seeds, "after"), f"{steps:.0f}", f"{spent:.1f}"]
        rows.append(_row([*cells, *_verdict(sparsity, spent, seeds)]))
    return [*rows, "", _environment(measured)] if measured else rows


def change(line: Line, which: str) -> float:
    """How far agreement with people lies above the dense model's, relative to it."""
    dense = line["dense"]["human_pearson"]
    found: float = line[which]["human_pearson"] / dense - 1
    return found


def _setting(line: Line) -> tuple[float, str, float]:
    return line["sparsity"], line["solver"], line["cpu_minutes"]


def _verdict(sparsity: float, spent: float, seeds: Sequence[Line]) -> list[str]:
    limit = LIMITS.get(sparsity)
    if limit is None or spent > MINUTES:
        return ["", ""]
    reached = statistics.fmean(change(line, "after") for line in seeds) >= -limit
    return [f"-{100 * limit:g} %", "reached" if reached else "**missed**"]


def _losses(seeds: Sequence[Line], which: str) -> list[str]:
    columns = zip(*(line[which]["replicates"] for line in seeds), strict=True)
    low, high = interval([statistics.fmean(column) for column in columns])
    loss = _mean([line[which]["loss"] for line in seeds], 4)
    return [loss, f"{low:.4f} to {high:.4f}", *_figures(seeds, which)]


def _figures(seeds: Sequence[Line], which: str) -> list[str]:
    changes = [100 * change(line, which) for line in seeds]
    return [
        _mean([100 * line[which]["probe_accuracy"] for line in seeds], 1),
        _mean([line[which]["human_pearson"] for line in seeds], 3),
        "" if which == "dense" else f"{statistics.fmean(changes):+.1f} %",
        _mean([line[which]["human_spearman"] for line in seeds], 3),
    ]


def _environment(lines: Sequence[Line]) -> str:
    described = lines[0]["environment"]
    versions = described["versions"]
    named = ", ".join(
        f"{package} {versions[package]}"
        for package in ("gossamer", "torch", "transformers")
        if package in versions
    )
    threads = ", ".join(str(count) for count in sorted({line["threads"] for line in lines}))
    return (
        f"{described['processor']}, threads: {threads}, {described['platform']}, {named}. "
        f"Windows to learn from: {lines[0]['recovery']['samples']:,}; held-out documents: "
        f"{lines[0]['after']['documents']:,}; seeds: {len({line['seed'] for line in lines})}. "
        "95 % intervals by bootstrap over the held-out documents."
    )


def _mean(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    spread = len(values) > 1 and len(set(values)) > 1
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if spread else mean


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
