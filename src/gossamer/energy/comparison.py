"""What a comparison found."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from gossamer.energy.memory import PeakMemory
from gossamer.energy.meters import Kind
from gossamer.energy.noise import Noise
from gossamer.energy.statistics import Interval, verdict
from gossamer.quantities import quantity
from gossamer.summary import Summary


@dataclass(frozen=True)
class Energy:
    """Joules of one inference by one meter, with the words that belong beside every figure.

    Attributes:
        meter: its name.
        kind: "measured" or "estimated".
        method: how the figure was made.
        joules: of one inference; None where no window could be measured.
        gain: how many times less than the first candidate, pair by pair; None for the first.
        rounds: that both are over.
        note: why windows could not be measured, if there were such.
    """

    meter: str
    kind: Kind
    method: str
    joules: Interval | None
    gain: Interval | None = None
    rounds: int = 0
    note: str | None = None


@dataclass(frozen=True)
class Gains:
    """How many times less a candidate takes than the first, 2 being half as much.

    Attributes:
        latency, cpu_seconds, energy: with intervals, taken pair by pair; energy by the meter that
            is gone by.
        file_bytes, compressed_bytes, peak_memory_bytes: exact; None where either is unknown.
    """

    latency: Interval
    cpu_seconds: Interval
    energy: Interval
    file_bytes: float | None
    compressed_bytes: float | None
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
        compressed_bytes: the same, deflated as a .zip or a .gz would be.
        latency_ms: milliseconds.
        throughput: inferences a second, one after the other.
        cpu_seconds: CPU seconds of all threads together.
        energies: joules by each meter, the one to go by first.
        peak_memory: bytes, or the reason why not.
        rounds: that the figures are over.
        ran_by: the engine that really ran it, where Gossamer left the model to ONNX Runtime.
        max_relative_difference: of its outputs from the first's, max|a-b| / max|b|; None for the
            first, and where number or shapes differ.
        gains: against the first; None for the first itself.
    """

    name: str
    engine: str | None
    threads: int | None
    file: str | None
    file_bytes: int | None
    compressed_bytes: int | None
    latency_ms: Interval
    throughput: Interval
    cpu_seconds: Interval
    energies: tuple[Energy, ...]
    peak_memory: PeakMemory
    rounds: int
    ran_by: str | None
    max_relative_difference: float | None
    gains: Gains | None

    @property
    def energy(self) -> Energy:
        """Joules by the meter to go by."""
        return self.energies[0]

    @property
    def speed_verdict(self) -> str | None:
        """Whether it is faster than the first, in words; None for the first itself."""
        if self.gains is None:
            return None
        return verdict(self.gains.latency, "faster", "slower", rounds=self.rounds)

    @property
    def energy_verdict(self) -> str | None:
        """Whether it takes less energy than the first, in words; None for the first itself."""
        if self.gains is None:
            return None
        words = (f"{side} {self.energy.kind} energy" for side in ("less", "more"))
        return verdict(self.gains.energy, *words, rounds=self.energy.rounds)

    def to_dict(self) -> dict[str, Any]:
        """Return everything ready for JSON."""
        found = asdict(self)
        if self.max_relative_difference == math.inf:
            found["max_relative_difference"] = None
        if self.gains is not None:
            # The ratio of two estimates is an estimate, and says so wherever it goes.
            found["gains"]["energy"] |= {"kind": self.energy.kind, "method": self.energy.method}
        return found | {
            "energy": asdict(self.energy),
            "speed_verdict": self.speed_verdict,
            "energy_verdict": self.energy_verdict,
        }


@dataclass(frozen=True, repr=False)
class Comparison(Summary):
    """Candidates measured in turn on the same inputs; gains are against the first.

    Attributes:
        candidates: in the order given.
        rounds: how often each had its turn; each interval is over so many values.
        runs_per_round: inferences in one turn, for each candidate.
        noisy_windows: turns that began while this process was busy otherwise.
        noise: what disturbed the measuring.
        notes: what the user should know, each a sentence.
        inputs: shapes by name, one mapping for each batch that was cycled through.
        environment: processor, cores, load before the measuring, platform and versions.
    """

    candidates: tuple[CandidateResult, ...]
    rounds: int
    runs_per_round: tuple[int, ...]
    noisy_windows: int
    noise: Noise
    notes: tuple[str, ...]
    inputs: tuple[dict[str, tuple[int, ...]], ...]
    environment: dict[str, Any]

    PROTOCOL = (
        "candidates in turn after warm-up on the same inputs; medians and ratios pair by pair, "
        "with bootstrap 95 % intervals"
    )

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        told = {}
        for one in self.candidates:
            words = [quantity(one.latency_ms.median / 1000, "s")]
            words += [word for word in (one.speed_verdict, one.energy_verdict) if word]
            told[one.name] = ", ".join(words)
        return told | {"rounds": str(self.rounds)}

    def to_dict(self) -> dict[str, Any]:
        """Return everything ready for JSON."""
        return {
            "protocol": self.PROTOCOL,
            "rounds": self.rounds,
            "runs_per_round": list(self.runs_per_round),
            "noisy_windows": self.noisy_windows,
            "noise": asdict(self.noise),
            "notes": list(self.notes),
            "inputs": [
                {name: list(shape) for name, shape in batch.items()} for batch in self.inputs
            ],
            "environment": self.environment,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }
