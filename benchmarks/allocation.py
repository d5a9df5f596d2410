"""Uniform against measured cost: CPU seconds per inference at equal loss.

    python benchmarks/allocation.py --task minilm --out allocation.jsonl
    python benchmarks/allocation.py --task cnn    --out allocation.jsonl

Both allocations are swept: `uniform` over sparsities, `cost` over budgets of energy. Every sparse
model is judged by its loss against the dense model on data that calibration and the search did not
use, and all are compiled and measured in turn, on one thread, so that CPU time is work and not
waiting. Where the two curves of CPU seconds over loss overlap, the summary reads off by
interpolation how many CPU seconds less `cost` takes at the same loss; at least 15 % is asked for.

`minilm` is all-MiniLM-L6-v2 on BBC News (`accuracy_minilm.py`): 1 - Spearman between the dense and
the sparse model's similarities over the pairs of 400 documents. `cnn` is a small residual network,
trained here on scikit-learn's handwritten digits, enlarged to 32 x 32: the squared difference of
the logits over their variance, on held-out digits. One JSON line a point, and a last one that sums
up.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

import gossamer as gs
from gossamer.energy import Candidate, environment, measure
from gossamer.formats import save_onnx
from gossamer.models import open_model
from gossamer.models.source import as_onnx

SPARSITIES = (0.4, 0.5, 0.6, 0.7, 0.8)
BUDGETS = (0.85, 0.75, 0.65, 0.55, 0.5)
LEAST_SAVING = 0.15


class Task(Protocol):
    """A dense model, its calibration data, an inference, and what sparse models lose."""

    name: str

    def load(self) -> torch.nn.Module: ...

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]: ...

    def score(self, model: torch.nn.Module) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Point:
    """A sparse model: how it was made, what it loses, and the file to measure."""

    allocation: str
    asked: float
    sparsity: float
    loss: float
    seconds: float
    plan: dict[str, float]
    file: Path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--task", choices=("minilm", "cnn"), required=True)
    parser.add_argument("--sparsity", type=float, nargs="+", default=list(SPARSITIES))
    parser.add_argument("--budget", type=float, nargs="+", default=list(BUDGETS))
    parser.add_argument("--pattern", nargs="+", default=["unstructured"])
    parser.add_argument("--solver", default="admm")
    parser.add_argument("--levels", type=float, nargs="+", help="of the database")
    parser.add_argument("--seed", type=int, default=0, help="of the calibration data")
    parser.add_argument("--calibration-tokens", type=int, default=8192)
    parser.add_argument("--search-seconds", type=float, default=60.0)
    parser.add_argument("--min-time", type=float, default=60.0, help="seconds of measuring")
    parser.add_argument("--folder", type=Path, help="goes on after an interruption")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        run(make_task(options.task), options, Path(name))


def make_task(name: str) -> Task:
    """Return the task; MiniLM's is that of the benchmark of accuracy."""
    if name == "cnn":
        return importlib.import_module("allocation_cnn").Task()
    return importlib.import_module("accuracy_minilm").Task(Path())


def run(task: Task, options: argparse.Namespace, folder: Path) -> None:
    calibration = task.calibration(options.seed, options.calibration_tokens)
    example = {name: array[:1] for name, array in calibration.items()}
    dense = folder / "dense.onnx"
    save_onnx(as_onnx(task.load(), example), dense)
    points: list[Point] = []
    for allocation, asked in [
        *(("uniform", sparsity) for sparsity in options.sparsity),
        *(("cost", budget) for budget in options.budget),
    ]:
        points.append(make_point(task, calibration, allocation, asked, options, folder))
    lines = measured(points, dense, example, options)
    surroundings = environment.describe()
    with options.out.open("a", encoding="utf-8") as file:
        for line in [*lines, summary(lines)]:
            line = {"task": task.name, "seed": options.seed, **line, "environment": surroundings}
            file.write(json.dumps(line) + "\n")
            print(json.dumps({**line, "environment": None, "plan": None}), flush=True)


def make_point(
    task: Task,
    calibration: dict[str, np.ndarray[Any, Any]],
    allocation: str,
    asked: float,
    options: argparse.Namespace,
    folder: Path,
) -> Point:
    """Make one sparse model, judge it, and write it down for measuring."""
    goal: dict[str, Any] = {"sparsity": asked} if allocation == "uniform" else {"budget": asked}
    result = gs.sparsify(
        task.load(),
        calibration,
        **goal,
        allocation=allocation,
        objective="energy",
        solver=options.solver,
        pattern=options.pattern[0] if allocation == "uniform" else options.pattern,
        levels=options.levels,
        search_seconds=options.search_seconds,
        folder=None if options.folder is None else options.folder / f"{task.name}-{allocation}",
        progress=True,
    )
    file = folder / f"{allocation}-{asked}.onnx"
    example = {name: array[:1] for name, array in calibration.items()}
    open_model(result.model).export_onnx(file, example)
    return Point(
        allocation,
        asked,
        result.sparsity,
        task.score(result.model)["loss"],
        result.seconds,
        {layer.name: layer.sparsity for layer in result.layers},
        file,
    )


def measured(
    points: Sequence[Point],
    dense: Path,
    example: dict[str, np.ndarray[Any, Any]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Measure all models in turn on one thread; return a line for each."""
    candidates = [Candidate.from_file(dense, engine="gossamer", threads=1, name="dense")]
    candidates += [
        Candidate.from_file(
            point.file, engine="gossamer", threads=1, name=f"{point.allocation} {point.asked:g}"
        )
        for point in points
    ]
    try:
        # Without an engine, memory is not measured, which takes a process for each.
        timed = [replace(candidate, engine=None) for candidate in candidates]
        found = measure(timed, example, min_time=options.min_time)
    finally:
        for candidate in candidates:
            candidate.close()
    first, *others = found.candidates
    return [
        {
            "kind": "allocation",
            "allocation": point.allocation,
            "asked": point.asked,
            "pattern": options.pattern,
            "solver": options.solver,
            "sparsity": point.sparsity,
            "loss": point.loss,
            "cpu_seconds": one.cpu_seconds.median,
            "cpu_seconds_interval": [one.cpu_seconds.low, one.cpu_seconds.high],
            "dense_cpu_seconds": first.cpu_seconds.median,
            "times_less_than_dense": one.gains.cpu_seconds.median if one.gains else None,
            "rounds": found.rounds,
            "noisy_windows": found.noisy_windows,
            "sparsify_seconds": point.seconds,
            "plan": point.plan,
        }
        for point, one in zip(points, others, strict=True)
    ]


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many CPU seconds less `cost` takes at equal loss: mean, least and most."""
    saved = savings(curve(lines, "uniform"), curve(lines, "cost"))
    return {
        "kind": "allocation summary",
        "saved": float(np.mean(saved)) if len(saved) else None,
        "saved_range": [float(min(saved)), float(max(saved))] if len(saved) else None,
        "target": LEAST_SAVING,
        "met": bool(len(saved) and np.mean(saved) >= LEAST_SAVING),
    }


def curve(lines: Sequence[dict[str, Any]], allocation: str) -> list[tuple[float, float]]:
    """Return (loss, CPU seconds) of an allocation's points, by rising loss.

    A point that costs no less than one of smaller loss is of no use to anyone, and is left out.
    """
    points = sorted(
        (line["loss"], line["cpu_seconds"]) for line in lines if line["allocation"] == allocation
    )
    useful: list[tuple[float, float]] = []
    for loss, seconds in points:
        if not useful or seconds < useful[-1][1]:
            useful.append((loss, seconds))
    return useful


def savings(
    uniform: Sequence[tuple[float, float]], cost: Sequence[tuple[float, float]]
) -> list[float]:
    """Return the fraction of CPU seconds saved, at losses that both curves reach.

    Between points, CPU seconds are interpolated over the logarithm of the loss, which spans
    orders of magnitude.
    """
    if len(uniform) < 2 or len(cost) < 2:
        return []
    low = max(uniform[0][0], cost[0][0], 1e-12)
    high = min(uniform[-1][0], cost[-1][0])
    if low >= high:
        return []

    def read(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
        losses, seconds = zip(*points, strict=True)
        logs = np.log(np.maximum(losses, 1e-12))
        return lambda loss: float(np.interp(np.log(loss), logs, seconds))

    before, after = read(uniform), read(cost)
    return [1 - after(loss) / before(loss) for loss in np.geomspace(low, high, 21)]


if __name__ == "__main__":
    main()
