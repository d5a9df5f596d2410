"""Which meters work here, and what would make more of them work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossamer.energy.meters.cpu_time import CpuTimeEstimate
from gossamer.energy.meters.meter import Meter
from gossamer.energy.meters.nvml import Nvml
from gossamer.energy.meters.rapl import Rapl
from gossamer.errors import MeterError

_COUNTERS: dict[str, Callable[[], Meter]] = {"RAPL": Rapl, "NVML": Nvml}


@dataclass(frozen=True)
class Found:
    """A meter that was looked for.

    Attributes:
        name: of the meter.
        meter: that works, or None.
        says: its method, or why there is none and what to do.
    """

    name: str
    meter: Meter | None
    says: str


def find_meters(*, watts_per_core: float | None = None) -> tuple[Found, ...]:
    """Look for every meter: counters of energy first, the estimate last.

    Args:
        watts_per_core: for the estimate; see `CpuTimeEstimate`.

    Raises:
        OptionError: if `watts_per_core` is no positive number.
    """
    estimate = CpuTimeEstimate(watts_per_core)
    found = []
    for name, make in _COUNTERS.items():
        try:
            meter = make()
        except MeterError as error:
            found.append(Found(name, None, str(error)))
        else:
            found.append(Found(name, meter, meter.method))
    return (*found, Found(estimate.name, estimate, estimate.method))


def default_meters(*, watts_per_core: float | None = None) -> tuple[Meter, ...]:
    """Return the meters that work here, the one to go by first.

    What is measured comes before what is estimated: RAPL, then the estimate. GPUs are measured
    only where one is asked for by name, since Gossamer runs on CPUs and a GPU that idles would be
    charged to it.

    Args:
        watts_per_core: for the estimate.
    """
    estimate = CpuTimeEstimate(watts_per_core)
    try:
        return (Rapl(), estimate)
    except MeterError:
        return (estimate,)
