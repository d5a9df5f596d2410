"""Several meters over the same windows; one that fails leaves the others be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gossamer.energy.meters.meter import Meter
from gossamer.errors import MeterError


class Panel:
    """Meters that are started and stopped together.

    Args:
        meters: with different names.

    Attributes:
        failures: why a meter could not measure a window, the first reason of each, by its name.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.meters = tuple(meters)
        self.failures: dict[str, str] = {}
        self._running: list[Meter] = []

    @property
    def shortest_seconds(self) -> float:
        """The shortest window that all of them can measure."""
        return max((meter.shortest_seconds for meter in self.meters), default=0.0)

    def start(self) -> None:
        """Begin a window: of the first meter last, so that it counts none of the others' work."""
        self._running = []
        for meter in reversed(self.meters):
            try:
                meter.start()
            except MeterError as error:
                self._fail(meter, error)
            else:
                self._running.insert(0, meter)

    def stop(self) -> list[float]:
        """Return the joules of each meter since `start`; NaN where one could not measure."""
        found = dict.fromkeys((meter.name for meter in self.meters), math.nan)
        for meter in self._running:
            try:
                found[meter.name] = meter.stop()
            except MeterError as error:
                self._fail(meter, error)
        return list(found.values())

    def _fail(self, meter: Meter, error: MeterError) -> None:
        self.failures.setdefault(meter.name, " ".join(str(error).split()))
