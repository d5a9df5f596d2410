"""The threads of a session: they share the native driver's state and sleep between runs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gossamer import machine
from gossamer.runtime.codegen import driver, jit
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.memory import align, empty

# The number of the core that the calling thread runs on, where the system tells and can be told.
_current_core = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else None

# Seconds after which to look again at what the process may use.
_LOOK_AGAIN = 0.5

_teams: weakref.WeakSet[Team] = weakref.WeakSet()


class _State:
    """What the threads of a run share: the native driver's fields."""

    def __init__(self) -> None:
        # Whole cache lines, so that what one state's threads write disturbs nobody else.
        self._memory = empty((align(driver.STATE_SIZE * 8),), np.dtype(np.uint8))
        self._memory[:] = 0
        self.address = self._memory.ctypes.data
        self.fields = (ctypes.c_int64 * driver.STATE_SIZE).from_address(self.address)
        self.fields[driver.THREADS] = 1


class _Crew:
    """Native helpers around one state, which end when they are told to or nobody holds this.

    An interrupt may come at any moment, while they start or end too. So a crew is never mended: a
    team drops it and makes another, and those that started leave as soon as they see that.
    """

    def __init__(
        self, threads: int, run: Callable[[int], None], work: Callable[[int, int, int], None]
    ) -> None:
        self.state, self._run = _State(), run
        self._dropped = weakref.finalize(self, _dismiss, self.state, run)
        # They end with the process anyhow.
        self._dropped.atexit = False
        self.helpers: list[threading.Thread] = []
        self._core = -1
        try:
            for number in range(1, threads):
                # The helper must keep the code and the state alive, not the crew.
                mine = work, self.state, number
                name = f"gossamer-{number}"
                helper = threading.Thread(target=_serve, args=mine, name=name, daemon=True)
                helper.start()
                self.helpers.append(helper)
        except BaseException:
            self.dismiss()
            raise
        self.state.fields[driver.THREADS] = threads

    def keep_apart(self, core: int) -> None:
        """Keep the helpers off the caller's core.

        The system likes to wake a thread where its waker runs; a helper that is woken there waits
        for the caller, who waits for the helper, and the run takes as long as on one thread.
        """
        if core == self._core:
            return
        others = os.sched_getaffinity(0) - {core}
        if others:
            for helper in self.helpers:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(helper.native_id or 0, others)
        self._core = core

    def dismiss(self) -> None:
        """Tell the helpers to end; nobody may be running."""
        _dismiss(self.state, self._run)
        self._dropped.detach()


def _dismiss(state: _State, run: Callable[[int], None]) -> None:
    state.fields[driver.COUNT] = 0
    state.fields[driver.STOP] = 1
    run(state.address)


class Team:
    """The calling thread and its native helpers, which run a table of kernels together.

    One run at a time: whoever calls `run` holds `lock`. The helpers start with the first run, and
    again with the first run after a fork, since threads do not survive one.

    Args:
        threads: how many work at most. Never more than there are processors for, since each would
            wait for all others to have had their turn.
        target: the processor.
    """

    def __init__(self, threads: int, target: Target) -> None:
        self.threads = min(threads, machine.usable_processors())
        source = driver.write_driver(target.triple)
        run, work = jit.load_functions(source, target, ("run", "work"))
        integer = ctypes.c_int64
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(run)
        self._work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, integer, integer)(work)
        self._lone = _State()
        self._reset()
        _teams.add(self)

    def _reset(self) -> None:
        self._crew: _Crew | None = None
        # When to look whether the crew is as large as it may be, in seconds of the clock.
        self._look_at = 0.0
        # A new one: after a fork nobody is left to release the old.
        self.lock = threading.Lock()

    @property
    def _helpers(self) -> list[threading.Thread]:
        return self._crew.helpers if self._crew else []

    def run(self, steps: int, count: int, alone: bool = False) -> None:
        """Run the `count` kernels of the table at address `steps`; `alone` wakes no helper."""
        if count:
            self._walk(self._ready(alone), steps, count)

    def trace(self, steps: int, count: int, alone: bool = False) -> NDArray[np.int64]:
        """Run likewise; return [count] how long each step took, in ticks of the processor."""
        clock = np.zeros(count + 1, np.int64)
        if count:
            state = self._ready(alone)
            state.fields[driver.TRACE] = clock.ctypes.data
            try:
                self._walk(state, steps, count)
            finally:
                state.fields[driver.TRACE] = 0
        return np.diff(clock)

    def _ready(self, alone: bool) -> _State:
        """The state of those who will run."""
        if alone or self.threads == 1:
            return self._lone
        now = time.monotonic()
        if now >= self._look_at:
            self._assemble()
            self._look_at = now + _LOOK_AGAIN
        crew = self._crew
        if crew is None:
            return self._lone
        if _current_core is not None:
            crew.keep_apart(_current_core())
        return crew.state

    def _walk(self, state: _State, steps: int, count: int) -> None:
        state.fields[driver.STEPS] = steps
        state.fields[driver.COUNT] = count
        self._run(state.address)

    def _assemble(self) -> None:
        """Have as many helpers as there are processors for by now."""
        threads = min(self.threads, machine.usable_processors())
        if threads == 1 + len(self._helpers):
            return
        self._crew = None
        while threads > 1 and self._crew is None:
            try:
                self._crew = _Crew(threads, self._run, self._work)
            except RuntimeError as error:
                # The system refuses so many; or an interrupt fell into `Thread.start`, which then
                # lets go of a lock that it does not hold.
                interrupt, error.__context__ = error.__context__, None
                if interrupt is not None:
                    raise interrupt from None
                threads -= 1

    def close(self) -> None:
        """End the helpers once nobody runs; a later run starts new ones."""
        with self.lock:
            crew, self._crew = self._crew, None
            self._look_at = 0.0
            if crew is not None:
                crew.dismiss()
        for helper in crew.helpers if crew is not None else ():
            helper.join()


def _serve(work: Callable[[int, int, int], None], state: _State, number: int) -> None:
    # A crew's first run is the first.
    work(state.address, number, 0)


def _after_fork() -> None:
    for team in list(_teams):
        team._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
