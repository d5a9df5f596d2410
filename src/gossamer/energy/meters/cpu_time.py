"""Energy from CPU time and memory: an estimate, and it says so."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from gossamer import arguments
from gossamer.energy.environment import processor
from gossamer.energy.meters.meter import Kind, not_started
from gossamer.energy.meters.published_power import published_power

# Between a laptop's two or three watts and the six to eight of a server core at full vector load;
# ratios between candidates hardly depend on it. For processors whose maker's figure is not known.
DEFAULT_WATTS_PER_CORE = 5.0
# DRAM, whether used or not: L. Lannelongue, J. Grealey, M. Inouye, Green Algorithms: Quantifying
# the Carbon Footprint of Computation, Advanced Science 8 (2021), section 2: 0.3725 W per GB.
MEMORY_WATTS_PER_GB = 0.3725
_TASKS = Path("/proc/self/task")


class CpuTimeEstimate:
    """Estimates energy as busy CPU seconds times a power per core, and memory times time.

    CPU seconds are those of this process, all its threads, and of its children, whether they have
    ended or not. Memory is what this process and its children hold at the window's end.

    Args:
        watts_per_core: power of one busy core, in watts; where a core shows two hardware threads,
            of one of them. By default the processor's published thermal design power by its
            number of these, and 5 W where that is not known.

    Raises:
        OptionError: if `watts_per_core` is no positive number.
    """

    name = "CPU time"
    kind: Kind = "estimated"
    shortest_seconds = 0.0

    def __init__(self, watts_per_core: float | None = None) -> None:
        if watts_per_core is not None:
            watts_per_core = arguments.number(
                "watts_per_core",
                watts_per_core,
                lambda it: it > 0,
                f"the watts that one busy core takes, such as {DEFAULT_WATTS_PER_CORE:g}",
            )
        self.watts_per_core, self._source = _power(watts_per_core)
        self._process = psutil.Process()
        self._started: tuple[float, float] | None = None

    @property
    def method(self) -> str:
        """How the figure is made, in a few words."""
        return (
            f"estimated: busy CPU seconds x {self.watts_per_core:.3g} W per core ({self._source}) "
            f"+ {MEMORY_WATTS_PER_GB:.2f} W per GB of memory"
        )

    def start(self) -> None:
        """Begin a window."""
        children = self._cpu_of_children()
        self._started = time.process_time() + children, time.perf_counter()

    def stop(self) -> float:
        """Return the estimated joules since `start`."""
        if self._started is None:
            raise not_started(self.name)
        # Looking for children takes time itself, so the clocks come first.
        own, wall = time.process_time(), time.perf_counter()
        cpu = own + self._cpu_of_children() - self._started[0]
        memory = sum(_memory(process) for process in (self._process, *self._children()))
        return self.joules(max(0.0, cpu), wall - self._started[1], memory / 1e9)

    def joules(self, cpu_seconds: float, seconds: float = 0.0, memory_gb: float = 0.0) -> float:
        """Return the estimated joules of so many busy CPU seconds and so much memory held."""
        return cpu_seconds * self.watts_per_core + memory_gb * MEMORY_WATTS_PER_GB * seconds

    def _cpu_of_children(self) -> float:
        # Those that ended are in this process's times; those that live are asked one by one.
        ended = self._process.cpu_times()
        alive = sum(map(_cpu, self._children()))
        return float(ended.children_user + ended.children_system + alive)

    def _children(self) -> list[psutil.Process]:
        # psutil looks at every process of the machine; Linux says quickly that there are none.
        if _childless():
            return []
        try:
            return list(self._process.children(recursive=True))
        except psutil.Error:
            return []


def _power(watts_per_core: float | None) -> tuple[float, str]:
    """Return watts per core, and where the figure is from."""
    if watts_per_core is not None:
        return watts_per_core, "as given"
    known = published_power(processor())
    if known is None:
        return DEFAULT_WATTS_PER_CORE, "assumed"
    # CPU seconds are those of hardware threads, of which a core may show two.
    shown, cores = psutil.cpu_count(), psutil.cpu_count(logical=False)
    threads = known.cores * max(1, round(shown / cores)) if shown and cores else known.cores
    return known.watts / threads, f"{known.name}: {known.watts:g} W TDP by {threads} threads"


def _childless() -> bool:
    """Whether Linux lists no child of this process; False where it makes no such lists."""
    try:
        return not any((task / "children").read_bytes() for task in _TASKS.iterdir())
    except OSError:
        return False


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # It has just ended.
        return 0.0
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss)
    except psutil.Error:
        return 0.0
