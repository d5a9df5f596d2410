"""What a piece of work took, metered like an inference: sparsifying costs energy too."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gossamer.energy.meters import Kind, Meter, Nvml, Panel, default_meters
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
        gpu: whether work is done on NVIDIA GPUs, whose energy is then added where it can be
            measured.
    """

    def __init__(self, meters: Sequence[Meter] | None = None, *, gpu: bool = False) -> None:
        meters = default_meters() if meters is None else meters
        self._gpu: Meter | None = None
        self._without = ""
        if gpu:
            try:
                self._gpu = Nvml()
            except MeterError as error:
                self._without = f", without the GPU: {error}"
        self._panel = Panel(meters if self._gpu is None else (*meters, self._gpu))
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
        told = [
            Spending(found, meter.kind, meter.method, seconds, busy)
            for meter, found in zip(self._panel.meters, joules, strict=True)
            if meter is not self._gpu and not math.isnan(found)
        ]
        if not told:
            raise MeterError(f"no meter measured: {'; '.join(self._panel.failures.values())}")
        spent = replace(told[0], method=told[0].method + self._without)
        if self._gpu is not None and not math.isnan(joules[-1]):
            spent += Spending(joules[-1], self._gpu.kind, self._gpu.method, 0.0, 0.0)
        return spent
