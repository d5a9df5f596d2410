"""Which engine real models run in, whether the choice is the same every time, and what it costs.

    python benchmarks/choice.py [MODEL.onnx ...]

Without models, those that installed packages carry. One JSON line a model, each figure from a
process of its own: the engine that `compile` chooses with each of several empty caches and again
with the first one's outcome, the median milliseconds of a run of that session and of ONNX Runtime's
own in turn, and the memory of a process that opens the model and runs it once in either, beyond one
that has only numpy and onnxruntime. `lengths` at the end: bytes that a session keeps after forty
lengths, each shorter than the first, and ONNX Runtime's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from gossamer.energy import environment
from gossamer.energy.statistics import gain_interval

PACKAGES = ("magika", "silero_vad", "livekit", "swift_f0")
ROUNDS = 40

COMMON = """
import json, os, resource, statistics, sys, time
import numpy as np, onnxruntime
onnxruntime.set_default_logger_severity(4)
KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
         "tensor(double)": np.float64, "tensor(bool)": bool, "tensor(float16)": np.float16}

def feeds_of(session):
    # Open sizes as a first run often has them; sound comes in half seconds.
    chance = np.random.default_rng(0)
    feeds = {}
    for port in session.get_inputs():
        sizes = [s if isinstance(s, int) and s > 0 else 1 for s in port.shape]
        if len(sizes) == 2 and not isinstance(port.shape[1], int):
            sizes[1] = 512
        if port.name == "sr":
            feeds[port.name] = np.array(16000)
            continue
        feeds[port.name] = chance.integers(0, 2, sizes).astype(KINDS[port.type])
    return feeds

def theirs(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""

CHOOSE = """
from gossamer.runtime import compile
ours, other = compile(sys.argv[1], threads=1), theirs(sys.argv[1])
feeds = feeds_of(other)
times = [[], []]
for turn in range(int(sys.argv[2]) + 3):
    for engine, found in zip((ours, other), times):
        begin = time.perf_counter()
        engine.run(None, feeds)
        if turn > 2:
            found.append(time.perf_counter() - begin)
reasons = sorted({line.reason for line in ours.explain() if line.reason})
print(json.dumps({"engine": ours.engine, "ours": times[0], "theirs": times[1], "why": reasons[:1]}))
"""

MEMORY = """
before = peak()
if sys.argv[2] == "gossamer":
    from gossamer.runtime import compile
    session = compile(sys.argv[1], threads=1)
    feeds = feeds_of(session)
else:
    session = theirs(sys.argv[1])
    feeds = feeds_of(session)
session.run(None, feeds)
print(json.dumps({"peak_bytes_beyond_imports": peak() - before}))
"""

LENGTHS = """
import tempfile
import onnx
from onnx import TensorProto, helper, numpy_helper
from gossamer.runtime import compile

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
         helper.make_node("MatMul", ["b", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 128]) for n in "xy"]
weights = [numpy_helper.from_array(np.eye(128, dtype=np.float32), "w")]
graph = helper.make_graph(nodes, "g", info[:1], info[1:], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
found = {}
for name in ("gossamer", "onnxruntime"):
    if name == "gossamer":
        session = compile(model, threads=1, engine="gossamer")
    else:
        session = theirs(model.SerializeToString())
    longest = np.ones((20_000, 128), np.float32)
    session.run(None, {"x": longest})
    before = resident()
    for length in range(10_000, 20_000, 250):
        session.run(None, {"x": longest[:length]})
    found[name] = resident() - before
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--caches", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    print(json.dumps({"kind": "environment", **environment.describe()}), flush=True)
    for path in given.models or carried():
        print(json.dumps({"kind": "choice", **choice(path, given)}), flush=True)
    print(json.dumps({"kind": "lengths", "bytes_kept": run(LENGTHS)}), flush=True)


def carried() -> list[Path]:
    """The models of installed packages."""
    found: list[Path] = []
    for package in PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            found += Path(place).rglob("*.onnx")
    return sorted(found)


def choice(path: Path, given: argparse.Namespace) -> dict[str, object]:
    """One model's line."""
    runs = []
    for _ in range(given.caches):
        with tempfile.TemporaryDirectory() as cache:
            runs.append(run(CHOOSE, str(path), str(given.rounds), cache=cache))
            if len(runs) == 1:
                again = run(CHOOSE, str(path), str(given.rounds), cache=cache)
            memory = {
                name: run(MEMORY, str(path), name, cache=cache)["peak_bytes_beyond_imports"]
                for name in ("gossamer", "onnxruntime")
            }
    gain = gain_interval(runs[0]["theirs"], runs[0]["ours"])
    return {
        "model": path.name,
        "bytes": path.stat().st_size,
        "engines": [one["engine"] for one in runs],
        "engine_again": again["engine"],
        "why": runs[0]["why"],
        "median_milliseconds": {
            name: round(statistics.median(runs[0][name]) * 1e3, 4) for name in ("ours", "theirs")
        },
        "times_faster": [round(n, 3) for n in (gain.median, gain.low, gain.high)],
        "peak_bytes_beyond_imports": memory,
    }


def run(script: str, *arguments: str, cache: str | None = None) -> dict[str, object]:
    environment_of = os.environ | ({"GOSSAMER_CACHE": cache} if cache else {})
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script, *arguments],
        capture_output=True,
        text=True,
        env=environment_of,
    )
    if done.returncode:
        sys.exit(f"{arguments}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
