"""Memory of a candidate: loaded from its file and run once, in a process of its own.

A process of its own, because a peak cannot be taken back: in this one it would belong to whatever
was largest so far.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gossamer
from gossamer.energy.candidate import Candidate

_LIMIT_SECONDS = 600
_PROGRAM = "gossamer.energy.memory_process"


@dataclass(frozen=True)
class PeakMemory:
    """Physical memory of a process that loads a model and runs it once.

    Attributes:
        bytes: at the peak, or None.
        method: how they were measured, or why not.
        resident: bytes that it holds after the run, where the system tells.
    """

    bytes: int | None
    method: str
    resident: int | None = None


def peak_memory(candidate: Candidate, feeds: dict[str, np.ndarray[Any, Any]]) -> PeakMemory:
    """Measure the peak memory of a process that loads `candidate` and runs it once on `feeds`."""
    if candidate.file is None or candidate.engine is None:
        return PeakMemory(None, "not measured: no file to load in a fresh process")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **feeds)
        arguments = [str(candidate.file.resolve()), candidate.engine, str(candidate.threads or 1)]
        environment = dict(os.environ)
        # -P keeps the working folder off the path; the package is found where this one was.
        paths = [str(Path(gossamer.__file__).parents[1]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", _PROGRAM, *arguments, str(inputs)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return PeakMemory(None, f"not measured: took longer than {_LIMIT_SECONDS} s")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return PeakMemory(None, f"not measured: {lines[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return PeakMemory(int(found["bytes"]), str(found["method"]), found["resident"])
