"""Windows of repeated runs, taken in turn: A B C A B C.

    round 1                          round 2
    | quiet | A A A A | quiet | B B | quiet | A A A A | quiet | B B | ...

A window starts only once this process is quiet: threads of another engine that still spin would be
charged to it and slow it down. It begins with one untimed run, since the candidate before it has
taken the caches. It then repeats until it is long against the clock, the scheduler and the meters,
and gives wall time, CPU time and joules of one inference. CPU time is `time.process_time`, which
counts every thread.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.energy.meters import Panel

Run = Callable[[], Any]
Enough = Callable[["Timings"], bool]

_WINDOW_SECONDS = 0.05
_WARM_UP_SECONDS = 0.2
_WARM_UP_RUNS = 3
_QUIET_SAMPLE_SECONDS = 0.002
_QUIET_SHARE = 0.1
_QUIET_LIMIT_SECONDS = 0.3
# A window is asked for a little more than the meters need, since runs differ.
_MARGIN = 1.1
# Whether the rounds suffice is asked each time that there are so many times more of them: asking
# takes time too.
_GROWTH = 1.1
# One candidate's warm-up takes at most this share of the time for all.
_WARM_UP_SHARE = 0.05


@dataclass(frozen=True)
class Timings:
    """What `take_turns` measured, each of one inference.

    Attributes:
        seconds: [rounds, candidates] wall seconds.
        cpu_seconds: [rounds, candidates] CPU seconds, all threads together.
        joules: [rounds, candidates, meters]; NaN where a meter could not measure.
        repeats: runs in one window, for each candidate.
        noisy_windows: how many windows had to start while this process was busy otherwise.
        failure: the candidate that raised, by its index, and what it raised; None if none did.
        stopped: "enough", "time" or "failure": why there were no more rounds.
    """

    seconds: np.ndarray[Any, Any]
    cpu_seconds: np.ndarray[Any, Any]
    joules: np.ndarray[Any, Any]
    repeats: tuple[int, ...]
    noisy_windows: int
    failure: tuple[int, Exception] | None
    stopped: str


def take_turns(
    runs: Sequence[Run],
    *,
    panel: Panel,
    cycle: int,
    min_time: float,
    max_time: float,
    min_rounds: int,
    enough: Enough,
    progress: Callable[[float], None],
) -> Timings:
    """Warm up, then time every candidate once a round until that is enough or time is up.

    A candidate that raises ends the measuring; the rounds that are whole are kept.

    Args:
        runs: one inference each; called again it may take the next of `cycle` inputs.
        panel: meters that are read over every window.
        cycle: every window's number of runs is a multiple of this, so that all see all inputs.
        min_time: seconds to go on measuring for at least, if `max_time` allows.
        max_time: seconds after which no round begins. The first is always taken.
        min_rounds: rounds to measure at least, if `max_time` allows.
        enough: is asked now and then whether the rounds so far suffice.
        progress: is told the fraction done, 0 to 1.

    Raises:
        Exception: what a candidate raised before the first round was whole.
    """
    length = max(_WINDOW_SECONDS, _MARGIN * panel.shortest_seconds)
    repeats = tuple(_warm_up(run, cycle, length, _WARM_UP_SHARE * max_time) for run in runs)
    rounds: list[list[list[float]]] = []
    noisy, asked, stopped = 0, 0, "time"
    failure: tuple[int, Exception] | None = None
    start = time.perf_counter()

    def timings() -> Timings:
        measured = np.array(rounds, np.float64).reshape(len(rounds), len(runs), -1)
        return Timings(
            measured[:, :, 0],
            measured[:, :, 1],
            measured[:, :, 2:],
            repeats,
            noisy,
            failure,
            stopped,
        )

    progress(0.0)
    while not rounds or time.perf_counter() - start < max_time:
        windows: list[list[float]] = []
        for index, (run, count) in enumerate(zip(runs, repeats, strict=True)):
            noisy += not wait_until_quiet()
            try:
                windows.append(_window(run, count, cycle, panel))
            except Exception as error:  # A candidate is the user's code.
                if not rounds:
                    raise
                failure, stopped = (index, error), "failure"
                break
        if failure:
            break
        rounds.append(windows)
        spent = time.perf_counter() - start
        progress(min(1.0, spent / max_time) if max_time else 1.0)
        if spent >= min_time and len(rounds) >= max(min_rounds, _GROWTH * asked):
            asked = len(rounds)
            if enough(timings()):
                stopped = "enough"
                break
    progress(1.0)
    return timings()


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


def _warm_up(run: Run, cycle: int, length: float, limit: float) -> int:
    """Run until caches, clocks and allocators have settled; return how many runs fill a window."""
    fastest = math.inf
    start = time.perf_counter()
    done = 0
    while done < _WARM_UP_RUNS or time.perf_counter() - start < _WARM_UP_SECONDS:
        begun = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - begun)
        done += 1
        if time.perf_counter() - start > limit:
            break
    wanted = max(1, math.ceil(length / max(fastest, 1e-9)))
    return -(-wanted // cycle) * cycle


def _window(run: Run, repeats: int, cycle: int, panel: Panel) -> list[float]:
    """Return wall seconds, CPU seconds and each meter's joules of one run."""
    # A candidate that fills the window with one run refills the caches within it.
    if repeats > cycle:
        run()
    collecting = gc.isenabled()
    gc.disable()
    try:
        panel.start()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            run()
        seconds, busy = time.perf_counter() - wall, time.process_time() - cpu
        return [figure / repeats for figure in (seconds, busy, *panel.stop())]
    finally:
        if collecting:
            gc.enable()
