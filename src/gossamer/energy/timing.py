"""Windows of repeated runs, taken in turn: A B C A B C.

    round 1                          round 2
    | quiet | A A A A | quiet | B B | quiet | A A A A | quiet | B B | ...

A window starts only once this process is quiet: threads of another engine that still spin would be
charged to it and slow it down. It begins with one untimed run, since the candidate before it has
taken the caches. It then repeats until it is long against the clock and the scheduler, and gives
wall and CPU time of one inference. CPU time is `time.process_time`, which counts every thread.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Run = Callable[[], Any]

_WINDOW_SECONDS = 0.05
_WARM_UP_SECONDS = 0.2
_WARM_UP_RUNS = 3
_QUIET_SAMPLE_SECONDS = 0.002
_QUIET_SHARE = 0.1
_QUIET_LIMIT_SECONDS = 0.3


@dataclass(frozen=True)
class Timings:
    """What `take_turns` measured.

    Attributes:
        seconds: [rounds, candidates] wall seconds of one inference.
        cpu_seconds: [rounds, candidates] CPU seconds of one inference, all threads together.
        repeats: runs in one window, for each candidate.
        noisy_windows: how many windows had to start while this process was busy otherwise.
    """

    seconds: np.ndarray[Any, Any]
    cpu_seconds: np.ndarray[Any, Any]
    repeats: tuple[int, ...]
    noisy_windows: int


def take_turns(
    runs: Sequence[Run],
    *,
    cycle: int,
    min_time: float,
    min_rounds: int,
    progress: Callable[[float], None],
) -> Timings:
    """Warm up, then time every candidate once a round until the time budget ends.

    Args:
        runs: one inference each; called again it may take the next of `cycle` inputs.
        cycle: every window's number of runs is a multiple of this, so that all see all inputs.
        min_time: seconds to go on measuring for.
        min_rounds: rounds to measure at least, however long they take.
        progress: is told the fraction done, 0 to 1.
    """
    repeats = tuple(_warm_up(run, cycle) for run in runs)
    rounds: list[list[tuple[float, float]]] = []
    noisy = 0
    start = time.perf_counter()
    progress(0.0)
    while len(rounds) < min_rounds or time.perf_counter() - start < min_time:
        windows = []
        for run, count in zip(runs, repeats, strict=True):
            noisy += not wait_until_quiet()
            windows.append(_window(run, count, cycle))
        rounds.append(windows)
        spent = (time.perf_counter() - start) / min_time if min_time else 1.0
        progress(min(spent, len(rounds) / min_rounds, 1.0))
    measured = np.array(rounds)
    return Timings(measured[:, :, 0], measured[:, :, 1], repeats, noisy)


def wait_until_quiet() -> bool:
    """Wait until no thread of this process is busy; return whether that came within 0.3 s."""
    deadline = time.perf_counter() + _QUIET_LIMIT_SECONDS
    while True:
        cpu, wall = time.process_time(), time.perf_counter()
        time.sleep(_QUIET_SAMPLE_SECONDS)
        now = time.perf_counter()
        if time.process_time() - cpu < _QUIET_SHARE * (now - wall):
            return True
        if now > deadline:
            return False


def _warm_up(run: Run, cycle: int) -> int:
    """Run until caches, clocks and allocators have settled; return how many runs fill a window."""
    fastest = math.inf
    start = time.perf_counter()
    done = 0
    while done < _WARM_UP_RUNS or time.perf_counter() - start < _WARM_UP_SECONDS:
        begun = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - begun)
        done += 1
    wanted = max(1, math.ceil(_WINDOW_SECONDS / max(fastest, 1e-9)))
    return -(-wanted // cycle) * cycle


def _window(run: Run, repeats: int, cycle: int) -> tuple[float, float]:
    # A candidate that fills the window with one run refills the caches within it.
    if repeats > cycle:
        run()
    collecting = gc.isenabled()
    gc.disable()
    try:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            run()
        return (
            (time.perf_counter() - wall) / repeats,
            (time.process_time() - cpu) / repeats,
        )
    finally:
        if collecting:
            gc.enable()
