"""Turn the lines of `edge.py` into the Markdown tables of docs/edge.md.

python benchmarks/edge_table.py edge.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Line: TypeAlias = Mapping[str, Any]

# What the best of the scan may take above the optimum, in percent: on average, and in 95 of 100.
MEAN_LIMIT, TAIL_LIMIT = 3.0, 10.0
# Minutes that a large instance may take.
MINUTES = 5.0
SCANNED = ("log-sum with transmit", "log-sum", "mixed l1,2", "reweighted l2")
_RESAMPLES = 10_000


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """Return the tables, and below them what they were made with."""
    instances = [line for line in lines if line["kind"] == "edge instance"]
    if not instances:
        raise SystemExit("there is no small instance; run edge.py first")
    tables = [_gaps(instances), [_beside_mixed(instances)]]
    sweep = [line for line in lines if line["kind"] == "edge sweep"]
    large = [line for line in lines if line["kind"] == "edge large"]
    tables += [_sweep(sweep)] if sweep else []
    tables += [_large(large)] if large else []
    machine = next(line for line in lines if line["kind"] == "edge environment")
    solvers = ", ".join(f"{name} {version}" for name, version in machine["solvers"].items())
    tables.append([f"{machine['processor']}, {machine['platform']}; {solvers}."])
    return [row for table in tables for row in [*table, ""]][:-1]


def _gaps(instances: Sequence[Line]) -> list[str]:
    rows = [
        f"| {len(instances)} small instances, above the optimum | mean (95 % interval) | "
        "95th percentile | at most | | targets met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method in instances[0]["total_w"]:
        gaps = gaps_of(instances, method)
        if not gaps.size:
            rows.append(f"| {method} | - | - |  |  | 0 of {len(instances)} |")
            continue
        tail = float(np.percentile(gaps, 95))
        limit = verdict = ""
        if method in ("refined", *SCANNED):
            limit = f"{MEAN_LIMIT:g} and {TAIL_LIMIT:g} %"
            mean = bool(gaps.mean() <= MEAN_LIMIT)
            verdict = _verdict(mean, tail <= TAIL_LIMIT)
        rows.append(
            f"| {method} | {_interval(gaps)} | {tail:.2f} % | {limit} | {verdict} | "
            f"{len(gaps)} of {len(instances)} |"
        )
    return rows


def gaps_of(instances: Sequence[Line], method: str, key: str = "total_w") -> Any:
    """Return percent above the optimum, of the instances whose targets a method met."""
    pairs = [(one[key].get(method), one["optimum_w"]) for one in instances]
    return np.array([100 * (watts / optimum - 1) for watts, optimum in pairs if watts is not None])


def _verdict(mean: bool, tail: bool) -> str:
    if mean and tail:
        return "reached"
    return "**missed**" if not mean else "mean reached, 95th percentile **missed**"


def _beside_mixed(instances: Sequence[Line]) -> str:
    """Say what each variant of log-sum takes beside the mixed norm, draw by draw."""
    told = []
    for method in SCANNED[:2]:
        ratios = np.array(
            [100 * (one["total_w"][method] / one["total_w"]["mixed l1,2"] - 1) for one in instances]
        )
        low, high = _ends(ratios)
        verdict = "less" if high < 0 else "**more**" if low > 0 else "not significant"
        told.append(f"{method} {ratios.mean():+.2f} % ({low:+.2f} to {high:+.2f}): {verdict}")
    sparsest = gaps_of(instances, "log-sum", "sparsest_w").mean()
    return (
        f"Beside mixed l1,2 at the same support rule: {'; '.join(told)}. The sparsest support of "
        f"log-sum, which bisection alone would give, is {sparsest:.1f} % above the optimum on "
        "average."
    )


def _sweep(points: Sequence[Line]) -> list[str]:
    points = sorted(points, key=lambda point: point["sinr_target_db"])
    rows = [
        "| SINR target | refined, W (95 % interval) | "
        + " | ".join(row["method"] for row in points[0]["rows"][1:])
        + " | realisations |",
        "| --- " * (len(points[0]["rows"]) + 2) + "|",
    ]
    for point in points:
        best, *others = point["rows"]
        watts = best["total_w"]
        cells = [
            f"{point['sinr_target_db']:g} dB",
            f"{watts['median']:.2f} ({watts['low']:.2f} to {watts['high']:.2f})"
            if watts
            else "not met",
        ]
        for row in others:
            more = row["excess"]
            cells.append(
                f"{100 * more['mean']:+.1f} % ({100 * more['low']:.1f} to {100 * more['high']:.1f})"
                if more
                else f"met in {row['met']}"
            )
        rows.append(_row([*cells, f"{point['feasible']} of {point['realisations']}"]))
    return [*rows, "", "Medians of refined; of the others, what they take more, mean by draw."]


def _large(lines: Sequence[Line]) -> list[str]:
    first = lines[0]
    rows = [
        f"| {first['access_points']} access points, {first['antennas']} antennas, "
        f"{first['users']} users | seconds | cone programmes | watts | tasks that run | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        watts = "not met" if line["total_w"] is None else f"{line['total_w']:.2f}"
        verdict = "reached" if line["seconds"] < 60 * MINUTES else "**missed**"
        cells = [line["method"], f"{line['seconds']:.0f}", str(line["solves"]), watts]
        rows.append(_row([*cells, str(line["placed"] or "-"), verdict]))
    return [*rows, "", f"Reached: in less than {MINUTES:g} minutes on one core."]


def _interval(values: Any) -> str:
    low, high = _ends(values)
    return f"{values.mean():.2f} % ({low:.2f} to {high:.2f})"


def _ends(values: Any) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean."""
    chosen = np.random.default_rng(0).integers(0, values.size, (_RESAMPLES, values.size))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
