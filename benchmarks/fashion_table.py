"""Turn the lines of `fashion.py` into the Markdown table of docs/accuracy.md.

python benchmarks/fashion_table.py fashion.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]

# Points of accuracy that the best method may lie below the dense network, mean over the seeds.
LIMITS = {0.9: 0.3, 0.95: 0.7}
COLUMNS = (
    "sparsity",
    "whole network",
    "method",
    "accuracy %",
    "below dense",
    "at most",
    "",
    "seeds",
)


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """The table, and below it what it was measured with."""
    measured = [line for line in lines if line["kind"] == "fashion"]
    dense = {line["seed"]: line for line in measured if line["method"] == "dense"}
    if not dense:
        raise SystemExit("there is no line of the dense network; run the benchmark again")
    rows = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    rows.append(_row(["", "", "dense", _mean(dense.values()), "", "", "", str(len(dense))]))
    for sparsity in sorted({line["sparsity"] for line in measured if line["method"] != "dense"}):
        # Each seed is compared with the dense network of the same seed.
        methods: dict[str, list[Line]] = {}
        for line in measured:
            if line["sparsity"] == sparsity and line["method"] != "dense" and line["seed"] in dense:
                methods.setdefault(_name(line), []).append(line)
        best = min(methods, key=lambda name: below(methods[name], dense))
        for name, seeds in methods.items():
            gap = below(seeds, dense)
            cells = [f"{100 * sparsity:g} %", f"{100 * seeds[0]['model_sparsity']:.1f} %"]
            cells += [name, _mean(seeds), f"{gap:.2f}"]
            limit = LIMITS.get(sparsity) if name == best else None
            verdict = "" if limit is None else "reached" if gap <= limit else "**missed**"
            shown = "" if limit is None else f"{limit:g}"
            rows.append(_row([*cells, shown, verdict, str(len(seeds))]))
    return [*rows, "", _environment(measured)]


def below(seeds: Sequence[Line], dense: Mapping[int, Line]) -> float:
    """Points of accuracy below the dense network of the same seed, mean over the seeds."""
    return statistics.fmean(
        100 * (dense[line["seed"]]["accuracy"] - line["accuracy"]) for line in seeds
    )


def _name(line: Line) -> str:
    pattern = "" if line["pattern"] == "unstructured" else f", {line['pattern']}"
    return f"`{line['method']}`{pattern}"


def _mean(lines: Any) -> str:
    values = [100 * line["accuracy"] for line in lines]
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _environment(lines: Sequence[Line]) -> str:
    described = lines[0]["environment"]
    minutes = statistics.median(line["cpu_seconds"] for line in lines) / 60
    return (
        f"{described['processor']}, {described['platform']}, "
        f"torch {described['versions']['torch']}. {lines[0]['weights']:,} weights; "
        f"{lines[0]['epochs']} epochs, dense and sparse alike, {minutes:.1f} CPU minutes each "
        "(median); accuracy on the 10,000 test images after the last epoch."
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
