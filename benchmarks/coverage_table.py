"""Turn the lines of `coverage.py` into the Markdown tables of docs/measuring.md.

python benchmarks/coverage_table.py coverage.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from scipy.stats import binomtest

Line: TypeAlias = Mapping[str, Any]

FIGURES = {"latency": "latency", "cpu_seconds": "CPU time", "energy": "energy"}
LEAST, MOST = 0.92, 0.98
MOST_OVERHEAD = 0.01


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """Return how often intervals hold the truth, how often a difference is found, and overhead."""
    equal = [line for line in lines if line.get("candidates") == "equal"]
    copies = [line for line in lines if line.get("candidates") == "copies"]
    different = [line for line in lines if line.get("candidates") == "different"]
    if not equal:
        raise SystemExit("there is no comparison of equals; run coverage.py first")
    rows = [
        "| one and the same, twice | intervals that hold 1 | 95 % | should | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for figure, title in FIGURES.items():
        share, held = _held(equal, figure)
        told = "reached" if LEAST <= share <= MOST else "**missed**"
        rows.append(f"| {title} | {held} | {100 * LEAST:g} to {100 * MOST:g} % | {told} |")
    if copies:
        rows += [
            "",
            "| two copies | intervals that hold 1 | 95 % | gain, median of all | farthest from 1 |",
            "| --- | --- | --- | --- | --- |",
        ]
        for figure, title in FIGURES.items():
            gains = [line["gains"][figure][1] for line in copies]
            farthest = max(abs(gain - 1) for gain in gains)
            rows.append(
                f"| {title} | {_held(copies, figure)[1]} | {statistics.median(gains):.4f} | "
                f"{100 * farthest:.1f} % |"
            )
    if different:
        rows += ["", *_found(different)]
    rows += ["", *_overhead(lines)]
    machine = next(line for line in lines if line["kind"] == "coverage environment")
    seconds = statistics.median(line["seconds"] for line in equal)
    rounds = statistics.median(line["rounds"] for line in equal)
    return [
        *rows,
        "",
        f"{machine['processor']}, {machine['platform']}; {rounds:.0f} turns in {seconds:.1f} s "
        "each (medians), warm-up included.",
    ]


def _held(lines: Sequence[Line], figure: str) -> tuple[float, str]:
    """Return the share of intervals that hold 1, and two cells that say so."""
    held = sum(_holds(line["gains"][figure], 1.0) for line in lines)
    low, high = binomtest(held, len(lines)).proportion_ci(method="wilson")
    share = held / len(lines)
    return share, (
        f"{held} of {len(lines)}, {100 * share:.1f} % | {100 * low:.1f} to {100 * high:.1f} %"
    )


def _found(different: Sequence[Line]) -> list[str]:
    gain = different[0]["true_gain"]
    rows = [
        f"| one does {100 * (1 / gain - 1):.1f} % more | told apart | gain found, median "
        f"({gain:.3f} is true) | seconds, median and most |",
        "| --- | --- | --- | --- |",
    ]
    seconds = [line["seconds"] for line in different]
    for figure, title in FIGURES.items():
        gains = [line["gains"][figure] for line in different]
        apart = sum(not _holds(one, 1.0) for one in gains)
        rows.append(
            f"| {title} | {apart} of {len(different)} | "
            f"{statistics.median(one[1] for one in gains):.3f} | "
            f"{statistics.median(seconds):.1f}, {max(seconds):.1f} |"
        )
    return rows


def _overhead(lines: Sequence[Line]) -> list[str]:
    found = next(line for line in lines if line["kind"] == "overhead")
    longer = found["longer_with_meters"]
    told = "reached" if longer < MOST_OVERHEAD else "**missed**"
    return [
        f"Meters ({', '.join(found['meters'])}): an inference of {found['milliseconds']:g} ms "
        f"takes {100 * longer:+.2f} % between two readings (at most {100 * MOST_OVERHEAD:g} %: "
        f"{told}); a reading takes {1e3 * found['seconds_of_a_reading']:.2f} ms, outside of what "
        "is timed.",
    ]


def _holds(interval: Sequence[float], value: float) -> bool:
    return interval[0] <= value <= interval[2]


if __name__ == "__main__":
    main(sys.argv[1:])
