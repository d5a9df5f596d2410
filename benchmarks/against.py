"""Two installations of Gossamer side by side: what a change costs or gains.

Both run each work in processes of their own that take turns, window after window, the order turned
round each time; a ratio is that of the two windows of a pair. Each has a cache of its own, since
they may write it in different ways, but the kernels that the other one chose by timing are offered
to this one: where both have the same kernels, they run the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from engine import Engine, Setting

from gossamer.energy import environment
from gossamer.energy.statistics import gain_interval, median_interval

LEAST_PAIRS = 100
# Seconds of a window: a dozen runs of a small model, one or two of a large one.
WINDOW = 0.1

Example = Callable[[str, int], Mapping[str, np.ndarray[Any, Any]]]


def run(
    options: argparse.Namespace,
    works: Sequence[str],
    build: Callable[[str, float, str, int, Path], None],
    example: Example,
) -> None:
    """Print a JSON line for each work.

    Args:
        options: of the command line.
        works: names of models.
        build: writes a model of that name, sparsity, pattern and batch to a file.
        example: inputs for a model of that name and batch.
    """
    for work in works:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            feeds = folder / "feeds.npz"
            np.savez(feeds, **example(work, options.batch))
            build(work, options.sparsity, options.pattern, options.batch, folder / "model.onnx")
            other, ours = _start(folder, feeds, options)
            take_turns(other, ours, options.pairs)
            found = summary(other, ours)
            for engine in (other, ours):
                engine.end()
            found |= {"max_relative_difference": _difference(other, ours)}
        given = {key: getattr(options, key) for key in ("sparsity", "pattern", "batch", "threads")}
        line = {"kind": "against", "model": work, **given, **found}
        print(json.dumps(line | {"environment": environment.describe()}), flush=True)


def _start(folder: Path, feeds: Path, options: argparse.Namespace) -> tuple[Engine, Engine]:
    """The other installation and this one, with the model compiled."""
    setting = Setting("gossamer", "sparse")
    caches = folder / "other", folder / "ours"
    engines = []
    for cache, python in zip(caches, (options.against, sys.executable), strict=True):
        cache.mkdir(mode=0o700)
        surroundings = os.environ | {"GOSSAMER_CACHE": str(cache)}
        if python is options.against:
            # It finds its own gossamer, not this one.
            surroundings.pop("PYTHONPATH", None)
        else:
            for choice in caches[0].glob("*.json"):
                shutil.copy(choice, cache)
        file = folder / "model.onnx"
        engines.append(
            Engine(cache.name, setting, file, feeds, options.threads, python, surroundings)
        )
    other, ours = engines
    return other, ours


def take_turns(other: Engine, ours: Engine, pairs: int) -> None:
    """Run window after window, the two in turn; each waits while the other one runs."""
    for pair in range(max(pairs, LEAST_PAIRS)):
        for engine in (other, ours) if pair % 2 else (ours, other):
            engine.windows.append(engine.window(WINDOW))


def summary(other: Engine, ours: Engine) -> dict[str, Any]:
    """What the windows say: the time of each, and how many times that of the other ours takes."""

    def samples(engine: Engine, key: str) -> list[float]:
        return [window[key] for window in engine.windows]

    return {
        "pairs": len(ours.windows),
        "versions": {"other": other.made["version"], "ours": ours.made["version"]},
        "seconds": {
            name: asdict(median_interval(samples(engine, "seconds")))
            for name, engine in (("other", other), ("ours", ours))
        },
        "times_as_long": asdict(gain_interval(samples(ours, "seconds"), samples(other, "seconds"))),
        "times_the_cpu_time": asdict(
            gain_interval(samples(ours, "cpu_seconds"), samples(other, "cpu_seconds"))
        ),
        "compile_seconds": {
            "other": other.made["compile_seconds"],
            "ours": ours.made["compile_seconds"],
        },
    }


def _difference(other: Engine, ours: Engine) -> float:
    """max|a-b| / max|b| of their first outputs."""
    theirs, found = (np.load(engine.outputs) for engine in (other, ours))
    return float(np.abs(found - theirs).max() / np.abs(theirs).max())
