"""What a piece of work took, metered like an inference: sparsifying costs energy too."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.energy.meters import Kind, Meter, Panel, default_meters
from gossamer.errors import MeterError


@dataclass(frozen=True)
class Spending:
    """Energy and time of a piece of work.

    Attributes:
        joules: by the first meter that measured.
        kind: "measured" or "estimated".
        method: how the joules were found.
        seconds: of wall time.
        cpu_seconds: of this process.
    """

    joules: float
    kind: Kind
    method: str
    seconds: float
    cpu_seconds: float

    def __add__(self, other: Spending) -> Spending:
        """Return both together; a part that is estimated makes the whole so."""
        estimated = "estimated" in (self.kind, other.kind)
        methods = dict.fromkeys((self.method, other.method))
        return Spending(
            self.joules + other.joules,
            "estimated" if estimated else "measured",
            "; ".join(methods),
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
        )


class Spender:
    """Meters what runs from when it is made; `spent` says what it took so far.

    Args:
        meters: by default those that work here; the first that measures counts.
    """

    def __init__(self, meters: Sequence[Meter] | None = None) -> None:
        self._panel = Panel(default_meters() if meters is None else meters)
        self._begun = time.perf_counter(), time.process_time()
        self._panel.start()

    def spent(self) -> Spending:
        """Return what was spent since the last call, or since this was made.

        Raises:
            MeterError: if no meter measured; among those that work here one always does.
        """
        joules = self._panel.stop()
        wall, cpu = time.perf_counter(), time.process_time()
        self._panel.start()
        seconds, busy = wall - self._begun[0], cpu - self._begun[1]
        self._begun = wall, cpu
        for meter, found in zip(self._panel.meters, joules, strict=True):
            if not math.isnan(found):
                return Spending(found, meter.kind, meter.method, seconds, busy)
        raise MeterError(f"no meter measured: {'; '.join(self._panel.failures.values())}")
