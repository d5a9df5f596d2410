"""What a comparison found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gossamer.energy.memory import PeakMemory
from gossamer.energy.meter import Energy
from gossamer.energy.statistics import Interval, verdict


@dataclass(frozen=True)
class Gains:
    """How many times less a candidate takes than the first, 2 being half as much.

    Attributes:
        latency, cpu_seconds, energy: with intervals, taken pair by pair.
        file_bytes, peak_memory_bytes: exact; None where either is unknown.
    """

    latency: Interval
    cpu_seconds: Interval
    energy: Interval
    file_bytes: float | None
    peak_memory_bytes: float | None


@dataclass(frozen=True)
class CandidateResult:
    """The figures of one candidate, each of one inference.

    Attributes:
        name: of the candidate.
        engine: that ran its file; None for a callable.
        threads: of one inference, where known.
        file: name of its file.
        file_bytes: size of what must be deployed.
        latency_ms: milliseconds.
        cpu_seconds: CPU seconds of all threads together.
        energy: joules, with the word "estimated" and the method.
        peak_memory: bytes, or the reason why not.
        max_relative_difference: of its outputs from the first's, max|a-b| / max|b|; None for the
            first, and where number or shapes differ.
        gains: against the first; None for the first itself.
    """

    name: str
    engine: str | None
    threads: int | None
    file: str | None
    file_bytes: int | None
    latency_ms: Interval
    cpu_seconds: Interval
    energy: Energy
    peak_memory: PeakMemory
    max_relative_difference: float | None
    gains: Gains | None

    @property
    def speed_verdict(self) -> str | None:
        """Whether it is faster than the first, in words; None for the first itself."""
        return verdict(self.gains.latency, "faster", "slower") if self.gains else None

    @property
    def energy_verdict(self) -> str | None:
        """Whether it takes less energy than the first, in words; None for the first itself."""
        if self.gains is None:
            return None
        words = (f"{side} {self.energy.kind} energy" for side in ("less", "more"))
        return verdict(self.gains.energy, *words)

    def to_dict(self) -> dict[str, Any]:
        """Return everything ready for JSON."""
        found = asdict(self)
        if self.gains is not None:
            # The ratio of two estimates is an estimate, and says so wherever it goes.
            found["gains"]["energy"] |= {"kind": self.energy.kind, "method": self.energy.method}
        return found | {
            "speed_verdict": self.speed_verdict,
            "energy_verdict": self.energy_verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """Candidates measured in turn on the same inputs; gains are against the first.

    Attributes:
        candidates: in the order given.
        rounds: how often each had its turn; each interval is over so many values.
        runs_per_round: inferences in one turn, for each candidate.
        noisy_windows: turns that began while this process was busy otherwise.
        inputs: shapes by name, one mapping for each batch that was cycled through.
        environment: processor, cores, load before the measuring, platform and versions.
    """

    candidates: tuple[CandidateResult, ...]
    rounds: int
    runs_per_round: tuple[int, ...]
    noisy_windows: int
    inputs: tuple[dict[str, tuple[int, ...]], ...]
    environment: dict[str, Any]

    PROTOCOL = (
        "candidates in turn after warm-up on the same inputs; medians and ratios pair by pair, "
        "with bootstrap 95 % intervals"
    )

    def to_dict(self) -> dict[str, Any]:
        """Return everything ready for JSON."""
        return {
            "protocol": self.PROTOCOL,
            "rounds": self.rounds,
            "runs_per_round": list(self.runs_per_round),
            "noisy_windows": self.noisy_windows,
            "inputs": [
                {name: list(shape) for name, shape in batch.items()} for batch in self.inputs
            ],
            "environment": self.environment,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }
