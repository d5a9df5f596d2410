"""The threads of a session: they share the native driver's state and sleep between runs."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any

from gossamer.runtime.codegen import driver, jit
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.memory import Region

_teams: weakref.WeakSet[Team] = weakref.WeakSet()


class Team:
    """The calling thread and its native helpers, which run a table of kernels together.

    One run at a time: the session holds a lock. The helpers start with the first run, and again
    with the first run after a fork, since threads do not survive one.
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
        self._region = Region(driver.STATE_SIZE * 8)
        self._state = (ctypes.c_int64 * driver.STATE_SIZE).from_address(self._region.address)
        self._state[driver.THREADS] = self.threads
        self._helpers = []

    def run(self, steps: int, count: int) -> None:
        """Run the `count` kernels of the table at address `steps`."""
        if not count:
            return
        if len(self._helpers) < self.threads - 1:
            self._start()
        self._state[driver.STEPS] = steps
        self._state[driver.COUNT] = count
        self._run(self._region.address)

    def _start(self) -> None:
        epoch = int(self._state[driver.EPOCH])
        for number in range(1, self.threads):
            # The helper must keep the code and the state alive, not the team that owns them.
            helper = threading.Thread(
                target=_serve,
                args=(self._work, self._region, number, epoch),
                name=f"gossamer-{number}",
                daemon=True,
            )
            helper.start()
            self._helpers.append(helper)

    def close(self) -> None:
        """End the helpers; a later run starts new ones."""
        if not self._helpers:
            return
        self._state[driver.STOP] = 1
        self._state[driver.COUNT] = 0
        self._run(self._region.address)
        for helper in self._helpers:
            helper.join()
        self._reset()

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
