"""Energy from CPU time: an estimate, and it says so."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gossamer.energy.statistics import Interval
from gossamer.errors import OptionError

# Between a laptop's two or three watts and the six to eight of a server core at full vector load.
# Ratios between candidates do not depend on it.
DEFAULT_WATTS_PER_CORE = 5.0


@dataclass(frozen=True)
class Energy:
    """Joules of one inference, with the word and the method that belong beside every figure."""

    joules: Interval
    kind: str
    method: str


@dataclass(frozen=True)
class CpuTimeEstimate:
    """Estimates energy as busy CPU seconds times a stated power per core.

    Attributes:
        watts_per_core: power of one busy core, in watts; 5 by default.
    """

    watts_per_core: float = DEFAULT_WATTS_PER_CORE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.watts_per_core) and self.watts_per_core > 0):
            raise OptionError(
                f"watts_per_core={self.watts_per_core} is no power; give the watts that one busy "
                f"core takes, such as {DEFAULT_WATTS_PER_CORE:g}"
            )

    @property
    def method(self) -> str:
        """How the figure was made, in a few words."""
        return f"estimated: busy CPU seconds x {self.watts_per_core:g} W per core"

    def energy(self, cpu_seconds: Interval) -> Energy:
        """Return the estimated energy of so many busy CPU seconds, all cores together."""
        return Energy(cpu_seconds.scaled(self.watts_per_core), "estimated", self.method)
