"""Who uses the processor: a process by itself, and all that runs on the machine."""

from __future__ import annotations

import psutil


def of_process(pid: int) -> float:
    """CPU seconds of a process so far, all its threads together."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def of_machine() -> float:
    """CPU seconds of everything that ran so far, on all cores together."""
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq")
    return sum(getattr(times, kind, 0.0) for kind in kinds)
