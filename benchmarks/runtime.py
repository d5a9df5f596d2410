"""Engines side by side on one sparse model: who is how fast, for how much CPU time and memory.

    python benchmarks/runtime.py --model bert-base --sparsity 0.9
    python benchmarks/runtime.py --model resnet50 --sparsity 0.9 --engines gossamer,onnxruntime

Each engine runs in a process of its own, since their threads spin on after a run and would spoil
whatever follows. The processes take turns: a window of runs each, all others asleep, then the next
round. Ratios are taken round by round. One JSON line an engine, after one on the environment;
outputs are checked against ONNX Runtime's on the same file.

Weights are random (MiniLM's are real) and removed by size: that serves for timing alone. The int8
engines run the same model quantized by ONNX Runtime, dynamically if it takes tokens, else
statically with random calibration images, which again serves for timing alone.

DeepSparse runs in an interpreter of its own, made by

    python3.11 -m venv .venv-ds && .venv-ds/bin/pip install deepsparse==1.8.0 'numpy<2'

and named by --deepsparse-python .venv-ds/bin/python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from runtime_models import MODELS, build, example, quantize

from gossamer.energy import environment
from gossamer.energy.statistics import gain_interval, median_interval

ENGINES = (
    "gossamer",
    "onnxruntime",
    "onnxruntime-int8",
    "openvino",
    "openvino-bf16",
    "openvino-int8",
    "deepsparse",
)
PROCESS = Path(__file__).with_name("engine_process.py")
# Longer than ONNX Runtime's threads spin after a run.
PAUSE = 0.2


class Engine:
    """A process that holds one engine with the model, and runs it when told to."""

    def __init__(self, name: str, file: Path, feeds: Path, threads: int, python: str) -> None:
        self.name = name
        command = [python, str(PROCESS), name, str(file), str(feeds), str(threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.windows: list[dict[str, float]] = []
        self.outputs = feeds.with_name(f"{name}.npy")
        self.made = self._answer()

    def window(self, seconds: float) -> None:
        """Run for some seconds; keep the median time and the CPU seconds of one run."""
        self._tell(str(seconds))
        self.windows.append(self._answer())

    def end(self) -> dict[str, float]:
        """Write the outputs, end the process, and return its peak memory."""
        self._tell(str(self.outputs))
        answer = self._answer()
        self._process.communicate(timeout=30)
        return answer

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # Engines print banners of their own.
            if line.startswith("{"):
                answer: dict[str, float] = json.loads(line)
                return answer
        _, errors = self._process.communicate()
        raise RuntimeError(f"{self.name} failed: {errors.strip().splitlines()[-1:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--pattern", choices=["unstructured", "block-4x1"], default="unstructured")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", default=",".join(ENGINES[:-1]))
    parser.add_argument("--deepsparse-python", default=None)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--window", type=float, default=0.5, help="seconds an engine and round")
    options = parser.parse_args()
    names = options.engines.split(",")
    unknown = sorted(set(names) - set(ENGINES))
    if unknown:
        parser.error(f"no engine {', '.join(unknown)}; the engines are {', '.join(ENGINES)}")
    if "deepsparse" in names and not options.deepsparse_python:
        parser.error("deepsparse needs --deepsparse-python; see the head of this file")
    os.environ |= {"HF_HUB_OFFLINE": "1", "NM_DISABLE_ANALYTICS": "True"}
    with tempfile.TemporaryDirectory() as folder:
        run(options, names, Path(folder))


def run(options: argparse.Namespace, names: list[str], folder: Path) -> None:
    sparse, int8, feeds = folder / "sparse.onnx", folder / "int8.onnx", folder / "feeds.npz"
    build(options.model, options.sparsity, options.pattern, options.batch, sparse)
    inputs = example(options.model, options.batch)
    np.savez(feeds, **inputs)
    if any(name.endswith("int8") for name in names):
        dense = folder / "dense.onnx"
        build(options.model, 0.0, options.pattern, options.batch, dense)
        quantize(dense, int8, inputs)
    subject = {
        key: getattr(options, key) for key in ("model", "sparsity", "pattern", "batch", "threads")
    }
    print(json.dumps({"kind": "environment", **subject, **environment.describe()}), flush=True)

    engines = []
    for name in names:
        python = options.deepsparse_python if name == "deepsparse" else sys.executable
        file = int8 if name.endswith("int8") else sparse
        try:
            engines.append(Engine(name, file, feeds, options.threads, python))
        except RuntimeError as error:
            print(json.dumps({"kind": "failed", "engine": name, "error": str(error)}), flush=True)
    for _ in range(options.rounds):
        for engine in engines:
            time.sleep(PAUSE)
            engine.window(options.window)
    ends = {engine.name: engine.end() for engine in engines}
    for engine in engines:
        print(json.dumps(describe(engine, engines, ends[engine.name], subject)), flush=True)


def describe(
    engine: Engine, engines: list[Engine], end: dict[str, float], subject: dict[str, Any]
) -> dict[str, Any]:
    def samples(one: Engine, key: str) -> list[float]:
        return [window[key] for window in one.windows]

    gains = {
        other.name: {
            key: asdict(gain_interval(samples(other, key), samples(engine, key)))
            for key in ("seconds", "cpu_seconds")
        }
        for other in engines
        if other is not engine
    }
    reference = next((one for one in engines if one.name == "onnxruntime"), None)
    difference = None
    if reference is not None and engine is not reference:
        ours, theirs = np.load(engine.outputs), np.load(reference.outputs)
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return {
        "kind": "engine",
        **subject,
        "engine": engine.name,
        "version": engine.made["version"],
        "seconds": asdict(median_interval(samples(engine, "seconds"))),
        "cpu_seconds": asdict(median_interval(samples(engine, "cpu_seconds"))),
        "times_faster_than": gains,
        "compile_seconds": engine.made["compile_seconds"],
        "resident_bytes": engine.made["resident_bytes"],
        "peak_bytes": end["peak_bytes"],
        "max_relative_difference": difference,
    }


if __name__ == "__main__":
    main()
