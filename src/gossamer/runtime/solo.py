"""Whether helpers pay: a run of a few microseconds is over before a sleeping thread wakes."""

from __future__ import annotations

import statistics

# A run that takes longer with helpers surely gains from them.
_LONG = 0.5e-3
_RUNS = 5
# Alone, a run costs half the CPU time of two threads, so that a small loss of time is a gain.
_TIE = 1.1


class Solo:
    """Runs a plan with helpers or without, until its first runs have told which is faster."""

    def __init__(self, threads: int) -> None:
        self._decided = None if threads > 1 else False
        self._alone: list[float] = []
        self._helped: list[float] = []

    @property
    def alone(self) -> bool:
        """Whether the next run is to wake no helper."""
        if self._decided is not None:
            return self._decided
        # The first runs with helpers also start them.
        return len(self._helped) >= 2 and len(self._alone) <= len(self._helped) - 2

    def note(self, seconds: float) -> None:
        """Learn from a run that was as `alone` said."""
        if self._decided is not None:
            return
        (self._alone if self.alone else self._helped).append(seconds)
        if len(self._helped) == 2 and min(self._helped) > _LONG:
            self._decided = False
        elif len(self._alone) == _RUNS:
            helped = statistics.median(self._helped[2:])
            self._decided = statistics.median(self._alone) <= _TIE * helped
