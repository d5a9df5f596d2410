"""What a machine takes when nothing runs, and a meter that leaves it out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from gossamer import arguments
from gossamer.energy.meters.meter import Kind, Meter
from gossamer.errors import MeterError


def idle_watts(meter: Meter, seconds: float = 5.0) -> float:
    """Measure the power while this process does nothing.

    Args:
        meter: what to measure with.
        seconds: to do nothing for; lengthened to the shortest window of the meter.

    Raises:
        MeterError: if the meter cannot measure.
        OptionError: if `seconds` is no time.
    """
    seconds = arguments.seconds("idle", seconds)
    meter.start()
    begun = time.perf_counter()
    time.sleep(max(seconds, 1.05 * meter.shortest_seconds))
    joules = meter.stop()
    return joules / (time.perf_counter() - begun)


@dataclass
class AboveIdle:
    """Counts only what comes on top of a constant power.

    Attributes:
        meter: counts everything.
        watts: to leave out, as `idle_watts` measured them.
    """

    meter: Meter
    watts: float
    _begun: float = field(default=0.0, init=False)

    @property
    def name(self) -> str:
        """The meter's own."""
        return self.meter.name

    @property
    def kind(self) -> Kind:
        """The meter's own."""
        return self.meter.kind

    @property
    def shortest_seconds(self) -> float:
        """The meter's own."""
        return self.meter.shortest_seconds

    @property
    def method(self) -> str:
        """The meter's own, and what is left out."""
        return f"{self.meter.method}; less {self.watts:.3g} W measured idle"

    def start(self) -> None:
        """Begin a window."""
        self.meter.start()
        self._begun = time.perf_counter()

    def stop(self) -> float:
        """Return the joules above idle since `start`.

        Raises:
            MeterError: as the meter does, and where no more than idle was measured.
        """
        joules = self.meter.stop()
        above = joules - self.watts * (time.perf_counter() - self._begun)
        if above <= 0:
            raise MeterError(
                f"no more than the idle {self.watts:.3g} W was measured; measure idle power again"
            )
        return above
