"""Zeus as a meter, for those who use it already."""

from __future__ import annotations

from typing import Any

from gossamer.energy.meters import Kind, not_started
from gossamer.errors import MeterError

_WINDOW = "gossamer"


class ZeusMeter:
    """Joules of processors, memory and GPUs as `zeus.monitor.ZeusMonitor` reads their counters.

        gs.compare(dense, sparse, inputs, meters=[ZeusMeter()])

    Args:
        monitor: to use; by default a `ZeusMonitor` of everything on the machine.
        shortest_seconds: windows that it is trusted with; GPU counters need a second.

    Raises:
        MeterError: if Zeus is not installed, or finds nothing that it can read.
    """

    name = "Zeus"
    kind: Kind = "measured"

    def __init__(self, monitor: Any = None, *, shortest_seconds: float = 1.0) -> None:
        self.shortest_seconds = shortest_seconds
        if monitor is None:
            try:
                from zeus.monitor import ZeusMonitor
            except ImportError as error:
                raise MeterError("Zeus is not installed; install gossamer[zeus]") from error
            try:
                monitor = ZeusMonitor()
            except Exception as error:  # Each device has exceptions of its own.
                raise MeterError(f"Zeus cannot measure here ({error})") from error
        self._monitor = monitor
        self._running = False

    @property
    def method(self) -> str:
        """How the figure is made, in a few words."""
        return "measured: Zeus's processor, memory and GPU counters"

    def start(self) -> None:
        """Begin a window, once the GPUs' queues are empty."""
        self._monitor.begin_window(_WINDOW, restart=True)
        self._running = True

    def stop(self) -> float:
        """Return the joules since `start`, once the GPUs' queues are empty."""
        if not self._running:
            raise not_started(self.name)
        self._running = False
        found = self._monitor.end_window(_WINDOW)
        if found.time < self.shortest_seconds:
            raise MeterError(
                f"the window is too short for Zeus; measure {self.shortest_seconds:g} s or more"
            )
        parts = (found.gpu_energy, found.cpu_energy, found.dram_energy)
        joules = [part for found in parts for part in (found or {}).values()]
        if not joules or sum(joules) <= 0:
            raise MeterError("Zeus found no counter that moved; use another meter")
        return float(sum(joules))
