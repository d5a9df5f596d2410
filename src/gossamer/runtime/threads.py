"""The threads of a session: they share the native driver's state and sleep between runs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen import driver, jit
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.memory import Region, align

# The number of the core that the calling thread runs on, where the system tells and can be told.
_current_core = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else None

# Whole cache lines, so that what one state's threads write disturbs no other.
_STATE_BYTES = align(driver.STATE_SIZE * 8, 128)

_teams: weakref.WeakSet[Team] = weakref.WeakSet()


class Team:
    """The calling thread and its native helpers, which run a table of kernels together.

    One run at a time: whoever calls `run` holds `lock`. The helpers start with the first run, and
    again with the first run after a fork, since threads do not survive one.
    """

    def __init__(self, threads: int, target: Target) -> None:
        self.threads = threads
        source = driver.write_driver(target.triple)
        run, work = jit.load_functions(source, target, ("run", "work"))
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(run)
        integer = ctypes.c_int64
        self._work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, integer, integer)(work)
        self._helpers: list[threading.Thread] = []
        self._reset()
        _teams.add(self)

    def _reset(self) -> None:
        self._region = Region(2 * _STATE_BYTES)
        self._state, self._lone = (
            (ctypes.c_int64 * driver.STATE_SIZE).from_address(self._region.address + offset)
            for offset in (0, _STATE_BYTES)
        )
        self._state[driver.THREADS], self._lone[driver.THREADS] = self.threads, 1
        self._helpers = []
        self._core = -1
        # A new one: after a fork nobody is left to release the old.
        self.lock = threading.Lock()

    def run(self, steps: int, count: int, alone: bool = False) -> None:
        """Run the `count` kernels of the table at address `steps`; `alone` wakes no helper."""
        if not count:
            return
        state = self._lone if alone else self._state
        if not alone:
            if len(self._helpers) < self.threads - 1:
                self._start()
            if self._helpers and _current_core is not None:
                self._keep_apart(_current_core())
        state[driver.STEPS] = steps
        state[driver.COUNT] = count
        self._run(ctypes.addressof(state))

    def trace(self, steps: int, count: int, alone: bool = False) -> NDArray[np.int64]:
        """Run likewise; return [count] how long each step took, in ticks of the processor."""
        clock = np.zeros(count + 1, np.int64)
        state = self._lone if alone else self._state
        state[driver.TRACE] = clock.ctypes.data
        try:
            self.run(steps, count, alone)
        finally:
            state[driver.TRACE] = 0
        return np.diff(clock)

    def _start(self) -> None:
        epoch = int(self._state[driver.EPOCH])
        # Those that are missing: the system may have refused some of them before.
        for number in range(len(self._helpers) + 1, self.threads):
            # The helper must keep the code and the state alive, not the team that owns them.
            helper = threading.Thread(
                target=_serve,
                args=(self._work, self._region, number, epoch),
                name=f"gossamer-{number}",
                daemon=True,
            )
            helper.start()
            self._helpers.append(helper)

    def _keep_apart(self, core: int) -> None:
        """Keep the helpers off the caller's core.

        The system likes to wake a thread where its waker runs; a helper that is woken there waits
        for the caller, who waits for the helper, and the run takes as long as on one thread.
        """
        if core == self._core:
            return
        self._core = core
        others = os.sched_getaffinity(0) - {core}
        if others:
            for helper in self._helpers:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(helper.native_id or 0, others)

    def close(self) -> None:
        """End the helpers once nobody runs; a later run starts new ones."""
        with self.lock:
            if not self._helpers:
                return
            self._state[driver.STOP] = 1
            self._state[driver.COUNT] = 0
            self._run(self._region.address)
            for helper in self._helpers:
                helper.join()
            self._state[driver.STOP] = 0
            self._helpers = []
            self._core = -1

    def __del__(self) -> None:
        helpers = getattr(self, "_helpers", [])
        if helpers:
            self._state[driver.STOP] = 1
            self._state[driver.COUNT] = 0
            self._run(self._region.address)


def _serve(work: Any, region: Region, number: int, epoch: int) -> None:
    work(region.address, number, epoch)


def _after_fork() -> None:
    for team in list(_teams):
        team._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
