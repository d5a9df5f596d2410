"""Whether a machine was quiet enough to measure on, and what to say if not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from gossamer import machine

# Shares of the cores' time that make latencies doubtful.
_OTHERS = 0.05
_STOLEN = 0.01
# Spread of one candidate's windows, interquartile range by median; quiet machines have 1 to 4 %.
_SPREAD = 0.10
# Change of the first candidate from the first to the last third: a clock that was lowered, say.
_DRIFT = 0.05
# Windows that began while this process was busy otherwise.
_NOISY_WINDOWS = 0.1
# Fewer windows have no spread and no drift to speak of.
_LEAST_ROUNDS = 9


@dataclass(frozen=True)
class Noise:
    """What disturbed a measuring.

    Attributes:
        others: share of the cores' time that other programs used, 0 to 1; None where unknown.
        stolen: share that the host of a virtual machine gave to others; None where unknown.
        spread: interquartile range of the first candidate's windows, by their median.
        drift: by how much the last third of its windows is slower than the first; None where
            there are too few.
        noisy_windows: share of windows that began while this process was busy otherwise.
    """

    others: float | None
    stolen: float | None
    spread: float | None
    drift: float | None
    noisy_windows: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, each a sentence; nothing on a quiet machine."""
        told = []
        if self.others is not None and self.others > _OTHERS:
            told.append(
                f"The machine was not quiet: other programs used {100 * self.others:.0f} % of the "
                "cores' time. Close them and measure again."
            )
        if self.stolen is not None and self.stolen > _STOLEN:
            told.append(
                f"The host took {100 * self.stolen:.0f} % of the cores' time from this virtual "
                "machine; measure at another time, or on a machine of your own."
            )
        if self.spread is not None and self.spread > _SPREAD:
            told.append(
                f"The machine was noisy: half of the windows of one and the same model differ by "
                f"{100 * self.spread:.0f} %. Measure longer, or on a quieter machine."
            )
        if self.drift is not None and abs(self.drift) > _DRIFT:
            word = "slower" if self.drift > 0 else "faster"
            told.append(
                f"The machine became {100 * abs(self.drift):.0f} % {word} while measuring (its "
                "clock, or its neighbours); ratios are taken in turn and suffer little."
            )
        if self.noisy_windows > _NOISY_WINDOWS:
            told.append(
                f"{100 * self.noisy_windows:.0f} % of the turns began while this process was busy "
                "otherwise; close what runs beside the candidates and measure again."
            )
        return tuple(told)


class Watch:
    """Counts the time of the cores from when it is made, to tell who else used them."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._own = time.process_time()
        self._busy, self._stolen = _cores()

    def noise(self, seconds: np.ndarray[Any, Any], noisy_windows: float) -> Noise:
        """Return what disturbed the measuring since.

        Args:
            seconds: [rounds] of the first candidate.
            noisy_windows: share of windows that began while this process was busy otherwise.
        """
        busy, stolen = _cores()
        room = (time.perf_counter() - self._begun) * len(machine.processors())
        others = (busy - self._busy) - (time.process_time() - self._own)
        spread = drift = stolen_share = None
        if stolen is not None and self._stolen is not None:
            stolen_share = (stolen - self._stolen) / room
        if len(seconds) >= _LEAST_ROUNDS:
            low, middle, high = np.percentile(seconds, (25, 50, 75))
            spread = float((high - low) / middle)
            third = len(seconds) // 3
            drift = float(np.median(seconds[-third:]) / np.median(seconds[:third]) - 1)
        return Noise(
            # Ticks of ten milliseconds: a short measuring cannot tell.
            others=min(1.0, max(0.0, others / room)) if room > 1 else None,
            stolen=stolen_share,
            spread=spread,
            drift=drift,
            noisy_windows=noisy_windows,
        )


def _cores() -> tuple[float, float | None]:
    """Return busy and stolen seconds of the cores this process may use, since the start."""
    every = psutil.cpu_times(percpu=True)
    cores = [every[index] for index in machine.processors() if index < len(every)] or every
    # Guest time is part of user time already; what was stolen is nobody's here.
    busy = sum(
        sum(getattr(core, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
        for core in cores
    )
    stolen = [core.steal for core in cores if hasattr(core, "steal")]
    return busy, sum(stolen) if stolen else None
