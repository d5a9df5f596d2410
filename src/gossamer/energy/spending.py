"""What a piece of work took, metered like an inference: sparsifying costs energy too."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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

    @classmethod
    def told(cls, result: Mapping[str, Any] | None) -> Spending | None:
        """Return what the making of a model took, where its `result.json` tells it."""
        return None if result is None else cls.read(result.get("energy_spent"))

    @classmethod
    def read(cls, document: object) -> Spending | None:
        """Return what `dataclasses.asdict` made of one; None of anything else."""
        try:
            found = cls(**document)  # type: ignore[arg-type]
        except TypeError:
            return None
        numbers = (found.joules, found.seconds, found.cpu_seconds)
        whole = all(isinstance(it, int | float) and 0 <= it < math.inf for it in numbers)
        known = found.kind in ("measured", "estimated") and isinstance(found.method, str)
        return found if whole and known else None

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
        gpu: index, as PyTorch counts, of the NVIDIA GPU that is used; its energy is added where it
            can be measured, and said to be missing where not.
    """

    def __init__(self, meters: Sequence[Meter] | None = None, *, gpu: int | None = None) -> None:
        self._panel = Panel(default_meters() if meters is None else meters)
        self._gpu, self._without = _gpu_panel(gpu)
        self._begun = time.perf_counter(), time.process_time()
        self._gpu.start()
        self._panel.start()

    def spent(self) -> Spending:
        """Return what was spent since this was made.

        Raises:
            MeterError: if no meter measured; among those that work here one always does.
        """
        joules = self._panel.stop()
        on_gpu = self._gpu.stop()
        wall, cpu = self._begun
        seconds, busy = time.perf_counter() - wall, time.process_time() - cpu
        told = [
            Spending(found, meter.kind, meter.method, seconds, busy)
            for meter, found in zip(self._panel.meters, joules, strict=True)
            if not math.isnan(found)
        ]
        if not told:
            raise MeterError(f"no meter measured: {'; '.join(self._panel.failures)}")
        without = self._without
        for meter, found in zip(self._gpu.meters, on_gpu, strict=True):
            if math.isnan(found):
                without = f"; without the GPU: {'; '.join(self._gpu.failures)}"
            else:
                told[0] += Spending(found, meter.kind, meter.method, 0.0, 0.0)
        return replace(told[0], method=told[0].method + without)


def _gpu_panel(gpu: int | None) -> tuple[Panel, str]:
    """Return a panel of the GPU's meter; or an empty one and what is to be said about it."""
    if gpu is None:
        return Panel([]), ""
    try:
        return Panel([Nvml.of_torch(gpu)]), ""
    except MeterError as error:
        return Panel([]), f"; without the GPU: {error}"
