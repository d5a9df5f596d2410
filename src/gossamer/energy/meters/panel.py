"""Several meters over the same windows; one that fails leaves the others be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gossamer.energy.meters.meter import Meter


class Panel:
    """Meters that are started and stopped together.

    Args:
        meters: to read.

    Attributes:
        failures: why meters could not measure, the first reason of each, after its name.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.meters = tuple(meters)
        self.failures: list[str] = []
        self._running = [False] * len(self.meters)

    @property
    def shortest_seconds(self) -> float:
        """The shortest window that all of them can measure."""
        return max((meter.shortest_seconds for meter in self.meters), default=0.0)

    def start(self) -> None:
        """Begin a window: of the first meter last, so that it counts none of the others' work."""
        for at, meter in reversed(list(enumerate(self.meters))):
            try:
                meter.start()
            except Exception as error:  # A meter may be anyone's, and raise what it likes.
                self._running[at] = False
                self._fail(meter, error)
            else:
                self._running[at] = True

    def stop(self) -> list[float]:
        """Return the joules of each meter since `start`; NaN where one could not measure.

        May be asked again as the window goes on.
        """
        found = [math.nan] * len(self.meters)
        for at, meter in enumerate(self.meters):
            if self._running[at]:
                try:
                    found[at] = float(meter.stop())
                except Exception as error:
                    self._fail(meter, error)
        return found

    def _fail(self, meter: Meter, error: Exception) -> None:
        # Of a meter that fails again and again, the first reason says enough.
        if not any(known.startswith(f"{meter.name}: ") for known in self.failures):
            reason = " ".join(str(error).split()) or type(error).__name__
            self.failures.append(f"{meter.name}: {reason}")
