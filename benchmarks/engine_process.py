"""One engine with one model, run when told to: the process that `runtime.py` starts.

It reads lines: a number of seconds to run for, or a file to write the outputs to before it ends;
and answers each with a JSON object. It needs numpy and the engine alone, so that it runs in any
interpreter.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

# Runs before a window counts: threads wake up, and memory comes back to the caches.
WARM_UP = 3


def main() -> None:
    engine, file, feeds_file, threads, settings = sys.argv[1:]
    feeds = dict(np.load(feeds_file))
    begin = time.perf_counter()
    run, version = LOADERS[engine](file, feeds, int(threads), **json.loads(settings))
    made = time.perf_counter() - begin
    run()
    tell(
        compile_seconds=made,
        version=version,
        resident_bytes=memory("VmRSS"),
        peak_bytes=memory("VmHWM"),
    )
    for line in sys.stdin:
        if line.strip().endswith(".npy"):
            np.save(line.strip(), run())
            tell(peak_bytes=memory("VmHWM"))
            return
        for _ in range(WARM_UP):
            run()
        times, end = [], time.perf_counter() + float(line)
        cpu = time.process_time()
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
        spent = (time.process_time() - cpu) / len(times)
        tell(seconds=statistics.median(times), cpu_seconds=spent, runs=len(times))


def tell(**answer) -> None:
    print(json.dumps(answer), flush=True)


def memory(key: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def load_gossamer(file, feeds, threads):
    import gossamer.runtime

    session = gossamer.runtime.compile(file, threads=threads, engine="gossamer")
    return lambda: session.run(None, feeds)[0], gossamer.__version__


def load_onnxruntime(file, feeds, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)[0], onnxruntime.__version__


def load_openvino(file, feeds, threads, precision):
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    return lambda: compiled(feeds, share_inputs=True)[0], openvino.__version__


def load_deepsparse(file, feeds, threads):
    import deepsparse

    batch = next(iter(feeds.values())).shape[0]
    engine = deepsparse.compile_model(file, batch_size=batch, num_cores=threads)
    arrays = list(feeds.values())
    return lambda: engine.run(arrays)[0], deepsparse.__version__


LOADERS = {
    "gossamer": load_gossamer,
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
    "deepsparse": load_deepsparse,
}


if __name__ == "__main__":
    os.environ.setdefault("NM_DISABLE_ANALYTICS", "True")
    main()
