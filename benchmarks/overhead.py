"""What one run costs beyond its arithmetic: by itself, and with more threads than processors.

    python benchmarks/overhead.py

JSON lines. `run`: of a model of one tiny layer, median microseconds of a session's run on one
thread and on two, of the native call within it, of a session that leaves the model to ONNX Runtime
whole, and of ONNX Runtime's own run of it, in turn. `threads`: of six sparse layers with 1, 2, 4, 8
and 32 threads, in turn, on all processors and on one alone, each in a process of its own: median
milliseconds, and how many times those of as many threads as there are processors; `taken_away` is a
session of two threads that had two processors when it was made and has one now, to one of one
thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gossamer import machine
from gossamer.energy import environment
from gossamer.runtime import Session, compile, threads

SIZE = 16
RUNS, ROUNDS = 200, 25
WIDE, LAYERS, ROWS = 512, 6, (8, 64)
THREADS = (1, 2, 4, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--processors", help="of a process that times threads: numbers and commas")
    given = parser.parse_args().processors
    if given:
        print(json.dumps(threads_on([int(number) for number in given.split(",")])))
        return
    print(json.dumps({"kind": "run"} | one_run() | {"environment": environment.describe()}))
    every = machine.processors()
    for some in dict.fromkeys((tuple(every), tuple(every[:1]))):
        numbers = ",".join(map(str, some))
        command = [sys.executable, __file__, "--processors", numbers]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        line = {"kind": "threads"} | json.loads(done.stdout)
        print(json.dumps(line | {"environment": environment.describe()}), flush=True)


def one_run() -> dict[str, dict[str, float]]:
    """Median microseconds of a run of one tiny layer."""
    weights = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZE])],
        [numpy_helper.from_array(weights, "w")],
    )
    imports = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    feeds = {"x": np.ones((1, SIZE), np.float32)}
    one, two = (compile(model, threads=threads, engine="gossamer") for threads in (1, 2))
    left = compile(model, threads=1, engine="onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    other = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    calls: dict[str, Callable[[], object]] = {
        "one_thread": lambda: one.run(None, feeds),
        "two_threads": lambda: two.run(None, feeds),
        "native_call_one_thread": native_call(one, feeds),
        "native_call_two_threads": native_call(two, feeds),
        "left_to_onnxruntime": lambda: left.run(None, feeds),
        "onnxruntime": lambda: other.run(None, feeds),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name].append(microseconds(call))
    medians = {name: round(statistics.median(found), 2) for name, found in times.items()}
    return {"median_microseconds": medians}


def threads_on(processors: list[int]) -> dict[str, object]:
    """Times of sessions of several numbers of threads on these processors."""
    model, feeds = six_layers()
    taken_away = None
    if len(machine.processors()) > 1 and len(processors) == 1:
        taken_away = compile(model, threads=2, engine="gossamer")
        taken_away.run(None, feeds)
    # Also of helpers that have started.
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), processors)
    sessions = {
        str(number): compile(model, threads=number, engine="gossamer") for number in THREADS
    }
    if taken_away is not None:
        sessions["taken_away"] = taken_away
        # It is not to look again and have fewer threads.
        threads._LOOK_AGAIN = float("inf")
        taken_away._generated.program.team._look_at = float("inf")
    others = {}
    for number in THREADS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = number
        # Its threads would spin on into the runs of the next session.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        others[str(number)] = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    # As many threads as there are processors for.
    fair = str(max(number for number in THREADS if number <= len(processors)))
    found: dict[str, object] = {"processors": len(processors)}
    for name, engines in (("gossamer", sessions), ("onnxruntime", others)):
        times: dict[str, list[float]] = {number: [] for number in engines}
        for turn in range(ROUNDS + 3):
            for number, engine in engines.items():
                begin = time.perf_counter()
                engine.run(None, feeds)
                if turn > 2:
                    times[number].append((time.perf_counter() - begin) * 1e3)
        medians = {number: statistics.median(taken) for number, taken in times.items()}
        found[name] = {
            "median_milliseconds": {n: round(taken, 3) for n, taken in medians.items()},
            "times_the_fair_share": {
                number: round(taken / medians[fair], 2) for number, taken in medians.items()
            },
        }
    return found


def six_layers() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Layers of which four fifths are zero, and an input."""
    random = np.random.default_rng(0)
    shape = (WIDE, WIDE)
    weights = [
        random.standard_normal(shape, np.float32) * (random.random(shape) < 0.2) / 8
        for _ in range(LAYERS)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"])
            for number in range(LAYERS)
        ],
        "layers",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", ROWS[1], WIDE])],
        [helper.make_tensor_value_info(f"x{LAYERS}", TensorProto.FLOAT, ["n", ROWS[1], WIDE])],
        [
            numpy_helper.from_array(weight.astype(np.float32), f"w{number}")
            for number, weight in enumerate(weights)
        ],
    )
    imports = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return model, {"x0": np.ones((*ROWS, WIDE), np.float32)}


def native_call(session: Session, feeds: dict[str, np.ndarray]) -> Callable[[], None]:
    """The kernels of a run alone, by the team's native driver."""
    session.run(None, feeds)
    (plan,) = session._generated.program._plans.kept.values()
    # Held by the closure, since the kernels read the one and write the other.
    arrays = feeds["x"].copy(), np.empty_like(feeds["x"])
    for value, places in plan.outside.items():
        array = arrays[0] if value.producer is None else arrays[1]
        plan.arguments[places] = array.ctypes.data
    table, count = plan.table.ctypes.data, len(plan.table)

    def call() -> None:
        assert arrays
        session._generated.program.team.run(table, count)

    return call


def microseconds(call: Callable[[], object]) -> float:
    """The mean of a number of runs that follow each other."""
    begin = time.perf_counter()
    for _ in range(RUNS):
        call()
    return (time.perf_counter() - begin) / RUNS * 1e6


if __name__ == "__main__":
    main()
