"""Engines side by side on one sparse model: who is how fast, for how much CPU time and memory.

    python benchmarks/runtime.py --model bert-base --sparsity 0.9
    python benchmarks/runtime.py --model resnet50 --sparsity 0.9 --engines gossamer,onnxruntime

One JSON line an engine. Each engine runs in a process of its own, since their threads spin on
after a run and would spoil whatever follows. The processes take turns: a window of runs each, all
others asleep, then the next round; a window starts once all are quiet, and what they take of the
CPU meanwhile is in the line of each. Ratios are taken round by round. Gossamer is started twice:
with an empty cache, for the cold figures, and again for all others.

Weights are random (MiniLM's are real) and removed by size, which serves for timing alone; so does
the int8 form of the dense model, calibrated on random inputs. Each engine has its best setting:
where `ENGINES` names several, a short trial in turn chooses. Outputs are checked against ONNX
Runtime's on the dense or sparse fp32 model; those in bf16 and int8 are only reported.

With --against, two installations of Gossamer are compared instead, such as this one with that of
the commit before (`against.py`):

    python benchmarks/runtime.py --against ../before/.venv/bin/python

DeepSparse runs in an interpreter of its own, made by

    python3.11 -m venv .venv-ds && .venv-ds/bin/pip install deepsparse==1.8.0 'numpy<2'

and named by --deepsparse-python .venv-ds/bin/python.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import against
import busy
import numpy as np
from engine import Engine, Setting
from runtime_models import MODELS, build, example, open_batch, quantize

from gossamer.energy import environment
from gossamer.energy.statistics import gain_interval, median_interval

# ONNX Runtime's threads spin up to a tenth of a second after a run.
PAUSE = 0.2
# Processes that are not quiet by then never will be.
PATIENCE = 5.0
# CPU seconds a second: more than this while others are measured is not asleep.
ASLEEP = 0.02
# max|a-b| / max|b| of an engine that computes in fp32.
AGREEMENT = 1e-4
TRIAL_ROUNDS = 3


# ONNX Runtime's static int8 is the faster one for images, its dynamic one mostly for tokens; in
# OpenVINO dynamic int8 is slower than fp32. What int8 leaves out, OpenVINO may do in bf16.
ENGINES = {
    "gossamer": [Setting("gossamer", "sparse")],
    "onnxruntime": [Setting("onnxruntime", "sparse")],
    "onnxruntime-int8": [Setting("onnxruntime", file) for file in ("static", "dynamic")],
    "openvino": [Setting("openvino", "sparse", {"precision": "f32"})],
    "openvino-bf16": [Setting("openvino", "sparse", {"precision": "bf16"})],
    "openvino-int8": [
        Setting("openvino", "static", {"precision": kind}) for kind in ("f32", "bf16")
    ],
    "deepsparse": [Setting("deepsparse", "sparse")],
}
EXACT = ("gossamer", "openvino", "deepsparse")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", choices=MODELS, help="all, with --against, if none is named")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--pattern", choices=["unstructured", "block:4x1"], default="unstructured")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", help="all by default, but DeepSparse only with its Python")
    parser.add_argument("--deepsparse-python", help="an interpreter that has DeepSparse")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--window", type=float, default=0.5, help="seconds an engine and round")
    parser.add_argument(
        "--against", metavar="PYTHON", help="an interpreter with another installation of gossamer"
    )
    parser.add_argument("--pairs", type=int, default=100, help="windows of each, with --against")
    options = parser.parse_args(arguments)
    os.environ |= {"HF_HUB_OFFLINE": "1", "NM_DISABLE_ANALYTICS": "True"}
    if options.against:
        works = [options.model] if options.model else MODELS
        against.run(options, works, build, example)
        return
    if not options.model:
        parser.error("name a --model; the models are " + ", ".join(MODELS))
    names = options.engines.split(",") if options.engines else list(ENGINES)
    if not options.engines and not options.deepsparse_python:
        names.remove("deepsparse")
    unknown = sorted(set(names) - set(ENGINES))
    if unknown:
        parser.error(f"no engine {', '.join(unknown)}; the engines are {', '.join(ENGINES)}")
    if "deepsparse" in names and not options.deepsparse_python:
        parser.error("deepsparse needs --deepsparse-python; see the head of this file")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cache.mkdir(mode=0o700)
        os.environ["GOSSAMER_CACHE"] = str(cache)
        Benchmark(options, Path(folder)).run(names)


class Benchmark:
    """One model with all engines."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.feeds = folder / "feeds.npz"
        self.engines: list[Engine] = []

    def run(self, names: Sequence[str]) -> None:
        """Build the model, start the engines, run them in turn, and print a line for each."""
        inputs = example(self.options.model, self.options.batch)
        np.savez(self.feeds, **inputs)
        files = self._build(names, inputs)
        outputs = {
            kind: _reference(files[kind], inputs) for kind in ("sparse", "dense") if kind in files
        }
        described = environment.describe()
        cold = self._cold(names, files)
        for name in names:
            engine = self._start_best(name, files)
            if engine is not None:
                self.engines.append(engine)
        for _ in range(self.options.rounds):
            for engine in self.engines:
                self._window(engine)
        ends = [engine.end() for engine in self.engines]
        for engine, end in zip(self.engines, ends, strict=True):
            reference = outputs["sparse" if engine.setting.file == "sparse" else "dense"]
            line = self._line(engine, reference)
            line |= {"peak_bytes": end["peak_bytes"], "cold": cold.get(engine.name)}
            print(json.dumps(line | {"environment": described}), flush=True)
            _complain(line)

    def _build(
        self, names: Sequence[str], inputs: dict[str, np.ndarray[Any, Any]]
    ) -> dict[str, Path]:
        given = self.options
        files = {"sparse": self.folder / "sparse.onnx"}
        build(given.model, given.sparsity, given.pattern, given.batch, files["sparse"])
        if given.batch > 1:
            files["open"] = self.folder / "open.onnx"
            open_batch(files["sparse"], files["open"])
        if any(name.endswith("int8") for name in names):
            files["dense"] = self.folder / "dense.onnx"
            build(given.model, 0.0, given.pattern, given.batch, files["dense"])
            files |= quantize(files["dense"], inputs)
        return files

    def _start(self, name: str, setting: Setting, files: Mapping[str, Path]) -> Engine | None:
        is_foreign = setting.engine == "deepsparse"
        python = self.options.deepsparse_python if is_foreign else sys.executable
        # Gossamer runs a batch in parts where the model leaves its size open.
        file = files.get("open" if name == "gossamer" else "", files[setting.file])
        threads = self.options.threads
        try:
            return Engine(name, setting, file, self.feeds, threads, python)
        except RuntimeError as error:
            print(json.dumps({"kind": "failed", "engine": name, "error": str(error)}), flush=True)
            return None

    def _cold(self, names: Sequence[str], files: Mapping[str, Path]) -> dict[str, dict[str, float]]:
        """Seconds and peak of a first start, for the engine that keeps what it compiled."""
        if "gossamer" not in names:
            return {}
        engine = self._start("gossamer", ENGINES["gossamer"][0], files)
        if engine is None:
            return {}
        engine.end()
        keys = ("compile_seconds", "peak_bytes")
        return {"gossamer": {key: engine.made[key] for key in keys}}

    def _start_best(self, name: str, files: Mapping[str, Path]) -> Engine | None:
        settings = [setting for setting in ENGINES[name] if setting.file in files]
        started = [self._start(name, setting, files) for setting in settings]
        engines = [engine for engine in started if engine is not None]
        if len(engines) < 2:
            return engines[0] if engines else None
        seconds: dict[Engine, list[float]] = {engine: [] for engine in engines}
        for _ in range(TRIAL_ROUNDS):
            for engine in engines:
                self._settle([*self.engines, *engines])
                seconds[engine].append(engine.window(self.options.window)["seconds"])
        best = min(engines, key=lambda engine: min(seconds[engine]))
        for engine in engines:
            if engine is not best:
                engine.end()
        return best

    def _window(self, engine: Engine) -> None:
        """A window of one engine; note what all others take of the CPU meanwhile."""
        self._settle(self.engines)
        others = [other for other in self.engines if other is not engine]
        before = [other.cpu_seconds() for other in others]
        machine, mine, begin = busy.of_machine(), engine.cpu_seconds(), time.perf_counter()
        window = engine.window(self.options.window)
        wall = time.perf_counter() - begin
        foreign = busy.of_machine() - machine - (engine.cpu_seconds() - mine)
        engine.windows.append(window | {"others": max(foreign, 0.0) / wall})
        for other, earlier in zip(others, before, strict=True):
            other.idle.append((other.cpu_seconds() - earlier) / wall)

    @staticmethod
    def _settle(engines: Sequence[Engine]) -> None:
        """Wait until no engine's threads spin on."""
        time.sleep(PAUSE)
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end:
            before = sum(engine.cpu_seconds() for engine in engines)
            time.sleep(PAUSE / 4)
            if sum(engine.cpu_seconds() for engine in engines) == before:
                return

    def _line(self, engine: Engine, reference: np.ndarray[Any, Any]) -> dict[str, Any]:
        def samples(one: Engine, key: str) -> list[float]:
            return [window[key] for window in one.windows]

        gains = {
            other.name: {
                key: asdict(gain_interval(samples(other, key), samples(engine, key)))
                for key in ("seconds", "cpu_seconds")
            }
            for other in self.engines
            if other is not engine
        }
        difference = np.abs(np.load(engine.outputs) - reference).max() / np.abs(reference).max()
        given = ("model", "sparsity", "pattern", "batch", "threads")
        return {
            "kind": "engine",
            **{key: getattr(self.options, key) for key in given},
            "engine": engine.name,
            "setting": engine.setting.name,
            "version": engine.made["version"],
            "rounds": len(engine.windows),
            "seconds": asdict(median_interval(samples(engine, "seconds"))),
            "cpu_seconds": asdict(median_interval(samples(engine, "cpu_seconds"))),
            "times_faster_than": gains,
            "compile_seconds": engine.made["compile_seconds"],
            "resident_bytes": engine.made["resident_bytes"],
            "max_relative_difference": float(difference),
            "others_cpu": statistics.median(samples(engine, "others")),
            "idle_cpu": max(engine.idle, default=0.0),
        }


def _reference(file: Path, inputs: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """What ONNX Runtime makes of the inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def _complain(line: Mapping[str, Any]) -> None:
    """Say on the terminal what makes a line doubtful."""
    if line["engine"] in EXACT and not line["max_relative_difference"] <= AGREEMENT:
        difference = line["max_relative_difference"]
        print(f"{line['engine']} differs from ONNX Runtime by {difference:.1e}", file=sys.stderr)
    if line["idle_cpu"] > ASLEEP:
        print(
            f"{line['engine']} used {line['idle_cpu']:.2f} cores while others were measured",
            file=sys.stderr,
        )
    if line["others_cpu"] > ASLEEP:
        print(
            f"other programs used {line['others_cpu']:.2f} cores while {line['engine']} was "
            "measured; run this on a quiet machine",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
