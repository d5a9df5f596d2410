"""Memory of a candidate: loaded from its file and run once, in a process of its own.

A process of its own, because a peak cannot be taken back: in this one it would belong to whatever
was largest so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.energy.candidate import Candidate
from gossamer.energy.fresh_process import run_fresh
from gossamer.errors import MeterError

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
    arguments = [str(candidate.file.resolve()), candidate.engine, str(candidate.threads or 1)]
    try:
        found = run_fresh(_PROGRAM, arguments, feeds)
    except MeterError as error:
        return PeakMemory(None, f"not measured: {error}")
    return PeakMemory(int(found["bytes"]), str(found["method"]), found["resident"])
