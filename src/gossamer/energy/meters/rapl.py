"""Intel's and AMD's energy counters (RAPL), as Linux shows them under powercap.

Each socket is a zone `package-N`, with its memory as a zone `dram` below it where the processor
counts that. Zones for cores or graphics are part of the package and are not added; `psys`, the
whole board, is left out. See the kernel's Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gossamer.energy.meters.meter import Kind, not_started
from gossamer.errors import MeterError

POWERCAP = Path("/sys/class/powercap")
_REMEDY = (
    "allow it with: sudo chmod -R a+r /sys/class/powercap/intel-rapl/ (until the next boot), or "
    "run as root"
)
# Counters move about once a millisecond: a window of twenty is known to some five percent, and
# the error is as often up as down.
_SHORTEST_SECONDS = 0.02
# A counter of 262 kJ, a common range, wraps after 22 minutes at 200 W: looked at more often than
# that, no wrap is missed.
_WATCH_SECONDS = 10.0
# What no socket takes: a counter that seems to say so went backwards instead. In the time of a
# watch that is far less than a counter's range.
_MOST_WATTS = 1500.0


@dataclass
class _Zone:
    """One counter, and what it has counted since the meter was made."""

    name: str
    folder: Path
    range_joules: float | None
    last: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    total: float = 0.0

    def update(self) -> None:
        now, value = time.monotonic(), _joules(self.folder / "energy_uj", self.name)
        step = value - self.last
        if step < 0 and self.range_joules:
            step += self.range_joules
        if step < 0 or step > _MOST_WATTS * max(now - self.seen, 0.01):
            self.last, self.seen = value, now
            raise MeterError(
                f"the energy counter {self.name} went backwards (suspend or a reset does that); "
                "measure this window again"
            )
        self.last, self.seen, self.total = value, now, self.total + step


class Rapl:
    """Joules of all sockets and their memory, whoever used them: close what else runs.

    Args:
        root: of the powercap tree.

    Raises:
        MeterError: if there are no counters, or they cannot be read; the message says what to do.
    """

    name = "RAPL"
    kind: Kind = "measured"
    shortest_seconds = _SHORTEST_SECONDS

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = _zones(root)
        self._lock = threading.Lock()
        self._started: tuple[float, float] | None = None
        self._watched = False
        self._broken: MeterError | None = None
        for zone in self._zones:
            zone.last = _joules(zone.folder / "energy_uj", zone.name)

    @property
    def method(self) -> str:
        """How the figure is made, in a few words."""
        names = ", ".join(zone.name for zone in self._zones)
        return f"measured: RAPL counters {names}, all that ran on the machine"

    def start(self) -> None:
        """Begin a window."""
        if not self._watched:
            # It holds the meter weakly, and ends with it.
            arguments = (weakref.ref(self),)
            threading.Thread(target=_watch, args=arguments, daemon=True, name="rapl").start()
            self._watched = True
        self._broken = None
        self._started = self._total(), time.perf_counter()

    def stop(self) -> float:
        """Return the joules since `start`."""
        if self._started is None:
            raise not_started(self.name)
        before, begun = self._started
        seconds = time.perf_counter() - begun
        if seconds < self.shortest_seconds:
            raise MeterError(
                f"a window of {1e3 * seconds:.1f} ms is too short for RAPL, whose counters move "
                f"once a millisecond; measure {1e3 * self.shortest_seconds:.0f} ms or more"
            )
        joules = self._total() - before
        if self._broken is not None:
            raise self._broken
        if joules <= 0:
            raise MeterError(
                f"the energy counters did not move in {seconds:.2f} s (a virtual machine may show "
                "counters that stand still); use the estimate"
            )
        return joules

    def _total(self) -> float:
        with self._lock:
            try:
                for zone in self._zones:
                    zone.update()
            except MeterError as error:
                # Whoever saw it, the window in progress is spoilt.
                self._broken = error
                raise
            return sum(zone.total for zone in self._zones)


def _watch(meter: weakref.ref[Rapl]) -> None:
    """Read the counters now and then, so that no wrap is missed, as long as there is a meter."""
    while True:
        time.sleep(_WATCH_SECONDS)
        found = meter()
        if found is None:
            return
        # What is wrong with a counter is kept for the window in progress.
        with suppress(MeterError):
            found._total()
        del found


def _zones(root: Path) -> list[_Zone]:
    # intel-rapl-mmio:* shows the same package by another way, and would count it twice.
    folders = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
    found: list[_Zone] = []
    for folder in folders:
        name = _text(folder / "name")
        if name is None:
            continue
        if name == "dram":
            # intel-rapl:0:2 is a part of intel-rapl:0.
            owner = _text(root / folder.name.rpartition(":")[0] / "name")
            name = f"dram of {owner}" if owner else name
        elif not name.startswith("package"):
            continue
        most = _text(folder / "max_energy_range_uj")
        found.append(_Zone(name, folder, int(most) / 1e6 if most and most.isdigit() else None))
    if not found:
        raise MeterError(
            "this machine shows no energy counters (no package under "
            f"{root}); virtual machines hide them: measure on the bare machine, or "
            "use the estimate"
        )
    return found


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _joules(file: Path, zone: str) -> float:
    try:
        return int(file.read_text(encoding="ascii")) / 1e6
    except PermissionError as error:
        raise MeterError(f"the energy counter {zone} may not be read; {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise MeterError(
            f"the energy counter {zone} cannot be read ({type(error).__name__}: {error}); "
            "use the estimate"
        ) from error
