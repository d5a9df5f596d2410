"""ONNX Runtime as it is by default, in a process of its own.

    python -m gossamer.energy.spinning MODEL THREADS FOLDER

Its threads spin for 100 ms after each run, which makes the next one start sooner and would be
charged to other candidates in turn. So it does not spin in comparisons, and this tells what its
default gives: prints the median seconds of one inference as a JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.energy.fresh_process import read_feeds, run_fresh
from gossamer.onnx_runtime import session_class

_SECONDS = 1.0
_WARM_UP_RUNS = 5


def spinning_seconds(file: Path, threads: int, feeds: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """Return the median seconds of one inference with ONNX Runtime's defaults.

    Raises:
        MeterError: if the process fails.
    """
    found = run_fresh("gossamer.energy.spinning", [str(file.resolve()), str(threads)], feeds)
    return float(found["seconds"])


def _main(file: str, threads: str, folder: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = session_class()(file, options, providers=["CPUExecutionProvider"])
    feeds = read_feeds(folder)
    for _ in range(_WARM_UP_RUNS):
        session.run(None, feeds)
    taken: list[float] = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < _SECONDS or len(taken) < _WARM_UP_RUNS:
        start = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(taken)}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
