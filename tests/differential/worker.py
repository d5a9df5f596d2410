"""A process that examines one seed after another; what ends it costs one of them."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from differential import models, oracle
from differential.check import examine
from differential.outcomes import FAULTS, INVALID
from differential.registry import version

_SECONDS = 120
"""For one model; a worker that takes longer ends itself."""


def work(seeds: Iterable[int], folder: Path, engine: str) -> None:
    """Examine the models of some seeds, and print one line of JSON before and after each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        _say({"begin": seed})
        signal.alarm(_SECONDS)
        _say(one(seed, folder, engine))
        signal.alarm(0)


def one(seed: int, folder: Path, engine: str) -> dict[str, Any]:
    """What came of one seed."""
    started = time.perf_counter()
    try:
        case = models.make(seed)
    except models.Invalid as reason:
        return {"seed": seed, "outcome": INVALID, "reason": str(reason)[:300]}
    made = time.perf_counter()
    # Kept where the process ends.
    path = folder / f"{seed}.onnx"
    save(path, case.model, case.worlds)
    found = examine(case.model, case.worlds, case.wanted, engine, threads=1 + seed % 2)
    if found["outcome"] not in FAULTS:
        path.unlink()
        path.with_suffix(".npz").unlink()
    left = set(found.pop("left"))
    counts: dict[str, list[int]] = {}
    for node in case.model.graph.node:
        if node.name not in case.computed:
            continue
        since = version(node.op_type, case.opset) if not node.domain else 1
        count = counts.setdefault(
            f"{node.domain and node.domain + '.'}{node.op_type}:{since}", [0, 0]
        )
        # What could not be compiled counts as neither.
        count[node.name in left] += found["outcome"] != "raises"
    return {
        "seed": seed,
        "opset": case.opset,
        **found,
        "nodes": counts,
        "seconds": [round(made - started, 3), round(time.perf_counter() - made, 3)],
    }


def save(path: Path, model: onnx.ModelProto, worlds: list[dict[str, Any]]) -> None:
    """A model, and its inputs of every world beside it."""
    onnx.save(model, path)
    arrays = {f"{w}/{name}": a for w, feeds in enumerate(worlds) for name, a in feeds.items()}
    np.savez(path.with_suffix(".npz"), worlds=len(worlds), **arrays)


def load(path: Path) -> tuple[onnx.ModelProto, list[dict[str, Any]]]:
    """What `save` wrote."""
    with np.load(path.with_suffix(".npz")) as stored:
        worlds: list[dict[str, Any]] = [{} for _ in range(int(stored["worlds"]))]
        for key in stored.files:
            if key != "worlds":
                world, name = key.split("/", 1)
                worlds[int(world)][name] = stored[key]
    return onnx.load(path), worlds


def examine_file(path: Path, engine: str) -> dict[str, Any]:
    """What comes of a model that was kept; `invalid` where ONNX Runtime refuses it."""
    model, worlds = load(path)
    try:
        wanted = models.run_worlds(model, worlds)
    except oracle.Unfit as reason:
        return {"outcome": INVALID, "reason": str(reason)}
    return examine(model, worlds, wanted, engine)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
