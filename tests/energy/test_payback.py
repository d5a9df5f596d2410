"""What sparsifying took, in inferences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossamer.energy import CandidateResult, Energy, Interval, Spending, payback
from gossamer.energy.comparison import Gains
from gossamer.energy.memory import PeakMemory

SPENT = Spending(3600.0, "measured", "measured: by x", 60.0, 100.0)


def energy(kind: str, joules: float, gain: Interval | None) -> Energy:
    return Energy(kind, kind, f"{kind}: somehow", Interval(joules, joules, joules), gain)  # type: ignore[arg-type]


def candidate(*energies: Energy) -> CandidateResult:
    one = Interval(1.0, 1.0, 1.0)
    gain = energies[0].gain
    return CandidateResult(
        name="one",
        engine=None,
        threads=None,
        file=None,
        file_bytes=None,
        compressed_bytes=None,
        latency_ms=one,
        throughput=one,
        cpu_seconds=one,
        energies=energies,
        peak_memory=PeakMemory(None, "not measured"),
        max_relative_difference=None,
        gains=None if gain is None else Gains(one, one, gain, None, None, None),
    )


def test_what_was_spent_is_divided_by_what_an_inference_saves() -> None:
    gain = Interval(2.0, 1.25, 4.0)
    found = payback(
        SPENT, candidate(energy("measured", 2.0, None)), candidate(energy("measured", 1.0, gain))
    )
    assert found.saved_joules == pytest.approx(1.0)
    # 2 J saves 1 J at a gain of 2, 0.4 J at 1.25 and 1.5 J at 4.
    assert found.inferences == Interval(3600, 2400, pytest.approx(9000))
    assert found.says == (
        "Sparsifying took 1 Wh (measured); it is repaid after 3 600 inferences (2 400 to 9 000)."
    )


def test_like_is_compared_with_like() -> None:
    gain = Interval(2.0, 2.0, 2.0)
    dense = candidate(energy("measured", 2.0, None), energy("estimated", 20.0, None))
    sparse = candidate(energy("measured", 1.0, gain), energy("estimated", 10.0, gain))
    estimated = replace(SPENT, kind="estimated")
    assert payback(estimated, dense, sparse).saved_joules == pytest.approx(10.0)
    assert payback(SPENT, dense, sparse).saved_joules == pytest.approx(1.0)


def test_kinds_that_differ_are_said() -> None:
    gain = Interval(2.0, 2.0, 2.0)
    dense, sparse = candidate(energy("estimated", 2, None)), candidate(energy("estimated", 1, gain))
    assert (
        "(measured); an inference's energy is estimated; it is repaid"
        in payback(SPENT, dense, sparse).says
    )


@pytest.mark.parametrize("gain", [Interval(1.2, 0.9, 1.5), Interval(0.5, 0.4, 0.6)])
def test_without_a_sure_gain_nothing_is_repaid(gain: Interval) -> None:
    dense, sparse = candidate(energy("measured", 2, None)), candidate(energy("measured", 2, gain))
    found = payback(SPENT, dense, sparse)
    assert (found.saved_joules, found.inferences) == (None, None)
    assert found.says.endswith("it is not repaid, since no energy is saved.")
