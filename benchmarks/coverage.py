"""How far the comparison is to be trusted: of candidates that are equal, and of some that are not.

    python benchmarks/coverage.py --repeats 400 > coverage.jsonl
    python benchmarks/coverage_table.py coverage.jsonl

Two candidates that are one and the same, some 10 ms of matrix products, are compared again and
again: of 95 % intervals, 92 to 98 in 100 should hold 1. Then two copies, each with matrices of its
own, which lie elsewhere in memory. Then one of them does 5 % more: how often is that found, and
after how long? And what do the meters take of a window?

Each comparison is one as a user gets it, with the defaults of `gossamer compare` but for the time,
which is shorter. One JSON line each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gossamer.energy import Candidate, environment, measure
from gossamer.energy.meters import Panel, default_meters

FEEDS = {"x": np.zeros(1, np.float32)}
FIGURES = ("latency", "cpu_seconds", "energy")
WINDOWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="comparisons of equals")
    parser.add_argument("--copies", type=int, default=100, help="comparisons of copies")
    parser.add_argument("--detections", type=int, default=40, help="comparisons of unequals")
    parser.add_argument("--difference", type=float, default=0.05, help="that is to be found")
    parser.add_argument("--milliseconds", type=float, default=10.0, help="of one inference")
    parser.add_argument("--max-time", type=float, default=10.0, help="seconds of one comparison")
    options = parser.parse_args()
    products = calibrated(options.milliseconds)
    tell("coverage environment", **environment.describe(), products=products)
    tell("overhead", milliseconds=options.milliseconds, **overhead(work(products)))
    more = round(products * (1 + options.difference))
    runs = [
        *[("equal", products)] * options.repeats,
        *[("copies", products)] * options.copies,
        *[("different", more)] * options.detections,
    ]
    for kind, count in runs:
        compared(kind, products, count, options.max_time)


def compared(kind: str, products: int, other: int, max_time: float) -> None:
    """Compare a candidate with one that does `other` products, and tell what came out."""
    one = work(products)
    candidates = [
        Candidate("one", one),
        Candidate("other", one if kind == "equal" else work(other)),
    ]
    start = time.perf_counter()
    found = measure(candidates, FEEDS, min_time=1.0, max_time=max_time)
    seconds = time.perf_counter() - start
    result = found.candidates[1]
    assert result.gains is not None
    tell(
        "comparison",
        candidates=kind,
        true_gain=products / other,
        gains={
            name: [getattr(getattr(result.gains, name), end) for end in ("low", "median", "high")]
            for name in FIGURES
        },
        verdict=result.speed_verdict,
        rounds=found.rounds,
        seconds=seconds,
        warnings=len(found.noise.warnings),
    )


def overhead(run: Callable[[Any], None]) -> dict[str, Any]:
    """Return what reading the meters takes, by the time that is measured between two readings."""
    panel = Panel(default_meters())
    bare = []
    for _ in range(WINDOWS):
        start = time.perf_counter()
        panel.start()
        panel.stop()
        bare.append(time.perf_counter() - start)
    with_meters, without = [], []
    for _ in range(WINDOWS // 4):
        for metered, times in ((True, with_meters), (False, without)):
            if metered:
                panel.start()
            start = time.perf_counter()
            run(FEEDS)
            times.append(time.perf_counter() - start)
            if metered:
                panel.stop()
    return {
        "meters": [meter.name for meter in panel.meters],
        "seconds_of_a_reading": statistics.median(bare),
        "share_of_one_inference": statistics.median(bare) / statistics.median(without),
        "longer_with_meters": statistics.median(with_meters) / statistics.median(without) - 1,
    }


def work(products: int) -> Callable[[Any], None]:
    """Return a candidate's run: so many products of small matrices."""
    a = np.random.default_rng(0).standard_normal((96, 96)).astype(np.float32)
    b = np.random.default_rng(1).standard_normal((96, 96)).astype(np.float32)
    out = np.empty_like(a)

    def run(feeds: Any) -> None:
        for _ in range(products):
            np.matmul(a, b, out=out)

    return run


def calibrated(milliseconds: float) -> int:
    """Return how many products take so long here, a multiple of a hundred."""
    run = work(1000)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        run(FEEDS)
        times.append(time.perf_counter() - start)
    return max(100, round(1000 * milliseconds / 1e3 / statistics.median(times) / 100) * 100)


def tell(kind: str, **line: Any) -> None:
    print(json.dumps({"kind": kind, **line}), flush=True)


if __name__ == "__main__":
    main()
