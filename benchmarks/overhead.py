"""What one run costs beyond its arithmetic: a model of one tiny layer.

    python benchmarks/overhead.py

One JSON line: median microseconds of a session's run on one thread and on two, of the native call
within it, and of ONNX Runtime's run of the same model, in turn.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gossamer.energy import environment
from gossamer.runtime import Session, compile

SIZE = 16
RUNS, ROUNDS = 200, 25


def main() -> None:
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
        "onnxruntime": lambda: other.run(None, feeds),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name].append(microseconds(call))
    medians = {name: round(statistics.median(found), 2) for name, found in times.items()}
    print(json.dumps({"median_microseconds": medians, "environment": environment.describe()}))


def native_call(session: Session, feeds: dict[str, np.ndarray]) -> Callable[[], None]:
    """The kernels of a run alone, by the team's native driver."""
    session.run(None, feeds)
    (plan,) = session._program._plans.values()
    # Held by the closure, since the kernels read the one and write the other.
    arrays = feeds["x"].copy(), np.empty_like(feeds["x"])
    for value, places in plan.outside.items():
        array = arrays[0] if value.producer is None else arrays[1]
        plan.arguments[places] = array.ctypes.data
    table, count = plan.table.ctypes.data, len(plan.table)

    def call() -> None:
        assert arrays
        session._team.run(table, count)

    return call


def microseconds(call: Callable[[], object]) -> float:
    """The mean of a number of runs that follow each other."""
    begin = time.perf_counter()
    for _ in range(RUNS):
        call()
    return (time.perf_counter() - begin) / RUNS * 1e6


if __name__ == "__main__":
    main()
