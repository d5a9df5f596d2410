"""How near the methods of edge inference come to the optimum and to each other, and how fast.

    python benchmarks/edge.py --instances 100 --realisations 50 --large > edge.jsonl
    python benchmarks/edge_table.py edge.jsonl

Small instances (at most 12 groups) are drawn by chance and solved by every method and by exhaustive
search. The sample scenario is studied over its targets. One large instance, 20 access points of two
antennas and 20 users, is timed. One JSON line each.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.edge.baselines import METHODS, place
from gossamer.edge.channels import draw
from gossamer.edge.problem import Problem, Programme
from gossamer.edge.scenario import Scenario, read_scenario, scenario_from
from gossamer.edge.study import study
from gossamer.energy import environment
from gossamer.errors import InfeasibleError

SCENARIO = Path(__file__).parents[1] / "examples" / "edge-scenario.yaml"
# Access points and users of small instances.
SIZES = (
    (2, 2),
    (2, 3),
    (2, 4),
    (2, 5),
    (2, 6),
    (3, 2),
    (3, 3),
    (3, 4),
    (4, 2),
    (4, 3),
    (5, 2),
    (6, 2),
)
SQUARES_M = (200, 400, 600)
TARGETS_DB = (0.0, 5.0, 10.0)
# Watts of computing a task, from least to most; drawn evenly in their logarithm.
COMPUTE_W = (0.01, 1.0)
# How far an access point's own energy for an inference may lie from the mean, as a fraction.
SPREAD = 0.3
LARGE = (20, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=100, help="small ones, that are feasible")
    parser.add_argument("--realisations", type=int, default=50, help="of the sample scenario")
    parser.add_argument("--large", action="store_true", help="also time 20 x 20")
    parser.add_argument("--processes", type=int, default=1, help="for the sample scenario")
    options = parser.parse_args()
    versions = {name: metadata.version(name) for name in ("cvxpy", "clarabel", "scs")}
    tell("edge environment", **environment.describe(), solvers=versions)
    solved = seed = 0
    while solved < options.instances:
        solved += instance(seed)
        seed += 1
    if options.realisations:
        sweep(options.realisations, options.processes)
    if options.large:
        large()


def instance(seed: int) -> bool:
    """Solve a small instance by every method; return whether it is feasible."""
    problem = small(seed)
    try:
        optimum = place(problem, "exhaustive")
    except InfeasibleError:
        return False
    assert optimum is not None
    found = {name: place(problem, name) for name in METHODS if name != "exhaustive"}
    tell(
        "edge instance",
        seed=seed,
        access_points=problem.network.access_points,
        users=problem.network.users,
        optimum_w=optimum.total_w,
        placed=optimum.placed,
        total_w={name: one and one.total_w for name, one in found.items()},
        sparsest_w={name: one.scan[-1][1] for name, one in found.items() if one and one.scan},
    )
    return True


def small(seed: int) -> Problem:
    random = np.random.default_rng(seed)
    n, k = SIZES[random.integers(len(SIZES))]
    scenario = scenario_of(n, k, float(random.choice(SQUARES_M)), seed)
    target = np.full(k, 10 ** (random.choice(TARGETS_DB) / 10))
    low, high = np.log10(COMPUTE_W)
    compute_w = 10 ** random.uniform(low, high, (1, k))
    own = random.uniform(1 - SPREAD, 1 + SPREAD, (n, 1))
    return Problem(Programme(draw(scenario, 0).network), target, own * compute_w)


def scenario_of(n: int, k: int, square_m: float, seed: int) -> Scenario:
    """Return the sample scenario's radio with other sizes."""
    sample = read_scenario(SCENARIO)
    return scenario_from(
        {
            "access_points": {
                "count": n,
                "antennas": sample.access_points.antennas,
                "power_limit_w": sample.access_points.power_limit_w[0],
                "amplifier_efficiency": sample.access_points.amplifier_efficiency[0],
            },
            "users": {"count": k, "sinr_target_db": 0},
            "tasks": {"inferences_per_second": 1},
            "channel": {**vars(sample.channel), "square_m": square_m},
            "realisations": 1,
            "seed": seed,
        }
    )


def sweep(realisations: int, processes: int) -> None:
    """Study the sample scenario at each of its targets."""
    scenario = replace(read_scenario(SCENARIO), realisations=realisations)
    start = time.perf_counter()
    found = study(scenario, processes=processes).to_dict()
    for point in found["points"]:
        tell(
            "edge sweep",
            sinr_target_db=point["sinr_target_db"][0],
            realisations=found["realisations"],
            undecided=found["undecided"],
            feasible=point["feasible"],
            rows=point["rows"],
        )
    tell("edge sweep time", seconds=time.perf_counter() - start, processes=processes)


def large() -> None:
    """Time every method on one large instance, each from a programme that is not compiled yet."""
    n, k = LARGE
    network = draw(scenario_of(n, k, 800.0, 0), 0).network
    compute_w = 10 ** np.random.default_rng(0).uniform(*np.log10(COMPUTE_W), (1, k))
    for name in METHODS:
        if name == "exhaustive":
            continue
        problem = Problem(Programme(network), np.full(k, 10**0.4), np.tile(compute_w, (n, 1)))
        start = time.perf_counter()
        found = place(problem, name)
        tell(
            "edge large",
            method=name,
            access_points=n,
            users=k,
            antennas=network.channels.shape[2],
            seconds=time.perf_counter() - start,
            solves=problem.programme.solves,
            total_w=found and found.total_w,
            placed=found and found.placed,
        )


def tell(kind: str, **line: Any) -> None:
    print(json.dumps({"kind": kind, **line}), flush=True)


if __name__ == "__main__":
    main()
