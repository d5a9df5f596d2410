"""CodeCarbon as a meter, for those who use it already."""

from __future__ import annotations

import itertools
from typing import Any

from gossamer.energy.carbon import JOULES_PER_KWH
from gossamer.energy.meters import Kind, not_started
from gossamer.errors import MeterError


class CodeCarbonMeter:
    """Joules as CodeCarbon reckons them: processor, memory and GPUs.

        gs.compare(dense, sparse, inputs, meters=[CodeCarbonMeter(tracking_mode="process")])

    CodeCarbon reads energy counters where it can, and otherwise multiplies a constant power by the
    time; since it does not say which for a window, its figures count as estimated. The first
    window takes a second or two to start.

    Args:
        shortest_seconds: windows that it is trusted with.
        **options: for `codecarbon.OfflineEmissionsTracker`; nothing is written or sent by default.

    Raises:
        MeterError: if codecarbon is not installed.
    """

    name = "CodeCarbon"
    kind: Kind = "estimated"

    def __init__(self, *, shortest_seconds: float = 1.0, **options: Any) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError as error:
            raise MeterError("CodeCarbon is not installed; install gossamer[codecarbon]") from error
        self.shortest_seconds = shortest_seconds
        given = {
            "country_iso_code": "USA",  # It wants one; only its carbon figures depend on it.
            "save_to_file": False,
            "log_level": "error",
            "allow_multiple_runs": True,
        }
        self._tracker = OfflineEmissionsTracker(**given | options)
        self._numbers = itertools.count()
        self._task: str | None = None

    @property
    def method(self) -> str:
        """How the figure is made, in a few words."""
        return "estimated: CodeCarbon's processor, memory and GPU energy"

    def start(self) -> None:
        """Begin a window."""
        self._task = f"gossamer-{next(self._numbers)}"
        self._tracker.start_task(self._task)

    def stop(self) -> float:
        """Return the joules since `start`."""
        if self._task is None:
            raise not_started(self.name)
        found = self._tracker.stop_task(self._task)
        self._task = None
        if found is None or found.duration < self.shortest_seconds:
            raise MeterError(
                f"the window is too short for CodeCarbon; measure {self.shortest_seconds:g} s or "
                "more"
            )
        return float(found.energy_consumed) * JOULES_PER_KWH
