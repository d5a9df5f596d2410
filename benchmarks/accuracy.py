"""What pruning in one pass costs in accuracy: methods side by side on the same calibration tokens.

    python benchmarks/accuracy.py --task minilm --out minilm.jsonl \\
        --methods magnitude wanda obs admm torch-magnitude torch-global --sparsity 0.6 0.7 --seeds 3

A method is a solver of Gossamer (`admm`, or with an allocation `admm+NAME`), torch's own magnitude
pruning (`torch-magnitude` within each layer, `torch-global` over all), or llm-compressor's
(`llmcompressor-sparsegpt`, `llmcompressor-wanda`), which runs in an interpreter of its own, made by

    python3.11 -m venv .venv-lc && .venv-lc/bin/pip install llmcompressor==0.14.0.1 torch==2.13.0

and named by --llmcompressor-python .venv-lc/bin/python.

Each method prunes the same layers in a process of its own, and what it leaves is measured here by
the same code. A seed is a sample of calibration data; methods that use none run once. One JSON line
a run goes to --out; runs whose lines are there already are not repeated, so that an interrupted
benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import busy
import numpy as np
import torch
from safetensors.torch import load_file

from gossamer.energy import environment
from gossamer.errors import GossamerError
from gossamer.models import open_model
from gossamer.models.adapter import Layer
from gossamer.models.selection import choose_layers
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import get_solver

PROCESS = Path(__file__).with_name("accuracy_process.py")
TASKS = ("minilm", "smollm", "bert")
FOREIGN = ("torch-magnitude", "torch-global", "llmcompressor-sparsegpt", "llmcompressor-wanda")
UNCALIBRATED = ("magnitude", "torch-magnitude", "torch-global")
# CPU seconds a second of other programs that make times doubtful.
QUIET = 0.05


class Task(Protocol):
    """A model with its data; one module `accuracy_<name>.py` each."""

    name: str
    loader: str
    directory: Path

    def load(self) -> torch.nn.Module:
        """A fresh copy of the dense model."""
        ...

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        """Inputs by name, without padding."""
        ...

    def score(self, model: torch.nn.Module) -> dict[str, Any]:
        """`loss`, its bootstrap `replicates`, and what else is told; nothing if only times are."""
        ...


@dataclass(frozen=True)
class Run:
    """What makes a line unlike all others."""

    task: str
    method: str
    pattern: str
    sparsity: float
    seed: int
    calibration_tokens: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--sparsity", type=float, nargs="+", required=True)
    parser.add_argument("--pattern", nargs="+", default=["unstructured"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--calibration-tokens", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="the folder of speeches, for smollm")
    parser.add_argument("--llmcompressor-python", help="an interpreter that has llm-compressor")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        check(options)
    except (GossamerError, ValueError) as error:
        parser.error(str(error))
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    done = existing(options.out)
    missing = [run for run in runs(options) if run not in done]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        module = importlib.import_module(f"accuracy_{options.task}")
        benchmark = Benchmark(module.Task(Path(folder), options.data), options, Path(folder))
        for run in missing:
            tell(benchmark.line(run), options.out)


def check(options: argparse.Namespace) -> None:
    """Refuse names that nothing bears before hours are spent on the others."""
    for method in options.methods:
        if method not in (*FOREIGN, "dense"):
            get_solver(method.partition("+")[0])
        if method.startswith("llmcompressor") and not options.llmcompressor_python:
            raise ValueError(f"{method} needs --llmcompressor-python; see the head of this file")
    for pattern in options.pattern:
        get_pattern(pattern)


def runs(options: argparse.Namespace) -> Iterator[Run]:
    """Every run that was asked for, seed after seed; the dense model first."""
    tokens = options.calibration_tokens
    yield Run(options.task, "dense", "unstructured", 0.0, 0, tokens)
    for seed in range(options.seeds):
        for pattern in options.pattern:
            for sparsity in sparsities(pattern, options.sparsity):
                for method in options.methods:
                    needless = seed and method in UNCALIBRATED
                    if not needless and method != "dense" and can(method, pattern):
                        yield Run(options.task, method, pattern, sparsity, seed, tokens)


def sparsities(pattern: str, wanted: Sequence[float]) -> Sequence[float]:
    """The sparsities to run; a pattern n:m, which keeps n of m, has but one."""
    found = re.fullmatch(r"(\d+):(\d+)", pattern)
    return [1 - int(found[1]) / int(found[2])] if found else wanted


def can(method: str, pattern: str) -> bool:
    """Whether a rival knows a pattern."""
    if method.startswith("torch"):
        return pattern == "unstructured"
    return not (method.startswith("llmcompressor") and pattern.startswith("block"))


def existing(out: Path) -> set[Run]:
    """The runs whose lines are in the file; the rest of a line that was cut off is removed."""
    if not out.exists():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    lines = [json.loads(line) for line in whole.splitlines()]
    names = Run.__dataclass_fields__
    return {
        Run(**{name: line[name] for name in names}) for line in lines if line["kind"] == "accuracy"
    }


def tell(line: dict[str, Any], out: Path) -> None:
    """Add a line to the file, and say on the terminal what matters of it."""
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    shown = ("kind", "method", "pattern", "sparsity", "seed", "loss", "seconds", "error")
    print({key: line[key] for key in shown if key in line}, file=sys.stderr, flush=True)
    if line.get("others_cpu", 0.0) > QUIET:
        print(
            f"other programs used {line['others_cpu']:.2f} cores while {line['method']} ran; "
            "its times count for nothing",
            file=sys.stderr,
        )


class Benchmark:
    """One task with all methods."""

    def __init__(self, task: Task, options: argparse.Namespace, folder: Path) -> None:
        self.task, self.options, self.folder = task, options, folder
        dense = open_model(task.load())
        self.layers: list[Layer] = choose_layers(dense.layers(), None)
        block = dense.model.get_submodule(str(self.layers[0].block))
        self.block = type(block).__name__
        self.environment = environment.describe()

    def line(self, run: Run) -> dict[str, Any]:
        """Prune, measure, and return all that is known of it."""
        model = self.task.load()
        solved = {}
        if run.method != "dense":
            weights = self.folder / "changed.safetensors"
            solved = self.solve(run, weights)
            if "error" in solved:
                return {"kind": "failed", **asdict(run), **solved}
            # What the method left as it was is not in the file.
            unknown = model.load_state_dict(load_file(weights), strict=False).unexpected_keys
            assert not unknown, unknown
            weights.unlink()
        found = {"kind": "accuracy", **asdict(run), **self.zeros(model), **solved}
        return found | self.task.score(model) | {"environment": self.environment}

    def solve(self, run: Run, out: Path) -> dict[str, Any]:
        """Prune in a process of its own; its answer, or what went wrong."""
        calibration = self.folder / "calibration.npz"
        np.savez(calibration, **self.task.calibration(run.seed, run.calibration_tokens))
        threads = self.options.threads
        job = {
            **asdict(run),
            "loader": self.task.loader,
            "directory": str(self.task.directory),
            "calibration": str(calibration),
            "layers": [layer.name for layer in self.layers],
            "block": self.block,
            "batch": 32,
            "threads": threads,
            "out": str(out),
        }
        foreign = run.method.startswith("llmcompressor")
        python = self.options.llmcompressor_python if foreign else sys.executable
        machine, mine, begin = busy.of_machine(), children(), time.perf_counter()
        done = run_process(python, job)
        wall = time.perf_counter() - begin
        others = busy.of_machine() - machine - (children() - mine)
        if done.returncode:
            return {"error": " ".join(done.stderr.strip().splitlines()[-1:])}
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return {**answer, "threads": threads, "others_cpu": max(others, 0.0) / wall}

    def zeros(self, model: torch.nn.Module) -> dict[str, float]:
        """Sparsity over the pruned layers, and over the whole model."""
        adapter = open_model(model)
        zeros = sum(
            layer.weights - int(adapter.weight(layer.name).count_nonzero()) for layer in self.layers
        )
        total, all_zeros = adapter.count_weights()
        pruned = sum(layer.weights for layer in self.layers)
        return {"measured_sparsity": zeros / pruned, "model_sparsity": all_zeros / total}


def run_process(python: str, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Start the process that prunes, and wait for it."""
    return subprocess.run(
        [python, str(PROCESS), json.dumps(job)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(job["threads"])},
        check=False,
    )


def children() -> float:
    """CPU seconds of the processes started here that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
