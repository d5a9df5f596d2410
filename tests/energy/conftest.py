"""Meters that tests control, and windows short enough for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gossamer.energy import timing
from gossamer.energy.meters import Kind
from gossamer.errors import MeterError


@dataclass
class Counter:
    """A meter of a constant power, which may fail from a window on."""

    watts: float = 8.0
    name: str = "counter"
    kind: Kind = "measured"
    shortest_seconds: float = 0.0
    fails_after: int | None = None
    windows: int = 0
    _begun: float = field(default=0.0, init=False)

    @property
    def method(self) -> str:
        return f"{self.kind}: {self.watts:g} W whatever runs"

    def start(self) -> None:
        self._begun = time.perf_counter()

    def stop(self) -> float:
        self.windows += 1
        if self.fails_after is not None and self.windows > self.fails_after:
            raise MeterError("the counter is gone; plug it in again")
        return self.watts * (time.perf_counter() - self._begun)


@pytest.fixture
def counter() -> type[Counter]:
    return Counter


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of a few milliseconds."""
    monkeypatch.setattr(timing, "_WINDOW_SECONDS", 0.003)
    monkeypatch.setattr(timing, "_WARM_UP_SECONDS", 0.003)
    yield
