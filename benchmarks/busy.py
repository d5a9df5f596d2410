"""Who uses the processor: a process by itself, and all that runs on the machine (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def of_process(pid: int) -> float:
    """CPU seconds of a process so far, all its threads together."""
    # The name, in brackets, may hold anything; what follows the last bracket is numbers.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def of_machine() -> float:
    """CPU seconds of everything that ran so far, on all cores together."""
    first = Path("/proc/stat").read_text(encoding="ascii").split("\n", maxsplit=1)[0]
    user, nice, system, _, _, hard, soft, *_ = map(int, first.split()[1:])
    return (user + nice + system + hard + soft) / _TICKS
