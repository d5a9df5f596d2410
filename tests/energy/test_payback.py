"""What sparsifying took, in inferences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gossamer.energy import CandidateResult, Energy, Interval, Spending, payback
from gossamer.energy.memory import PeakMemory

SPENT = Spending(3600.0, "measured", "measured: by x", 60.0, 100.0)


def energy(kind: Any, joules: float, spread: float = 0.0, rounds: int = 20) -> Energy:
    interval = Interval(joules, joules - spread, joules + spread)
    return Energy(kind, kind, f"{kind}: somehow", interval, None, rounds)


def candidate(name: str, *energies: Energy) -> CandidateResult:
    one = Interval(1.0, 1.0, 1.0)
    return CandidateResult(
        name=name,
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
        rounds=energies[0].rounds,
        ran_by=None,
        max_relative_difference=None,
        gains=None,
    )


DENSE = candidate("dense, ONNX Runtime", energy("measured", 2.0, 0.1))
SPARSE = candidate("sparse", energy("measured", 1.0, 0.1))


def test_what_was_spent_is_divided_by_what_an_inference_saves() -> None:
    found = payback(SPENT, [DENSE], SPARSE)
    assert found.saved_joules == pytest.approx(1.0)
    assert found.inferences is not None
    assert found.inferences.median == pytest.approx(3600)
    # At best 2.1 - 0.9 joules are saved, at worst 1.9 - 1.1.
    assert found.inferences.low == pytest.approx(3000)
    assert found.inferences.high == pytest.approx(4500)
    assert found.says == (
        "Sparsifying took 1 Wh (measured); against dense, ONNX Runtime it is repaid after 3 600 "
        "inferences (3 000 to 4 500)."
    )


def test_what_a_better_engine_saves_is_no_merit_of_sparsity() -> None:
    compiled = candidate("dense, Gossamer", energy("measured", 1.5, 0.1))
    found = payback(SPENT, [DENSE, compiled], SPARSE)
    assert found.against == "dense, Gossamer"
    assert found.saved_joules == pytest.approx(0.5)
    as_good = candidate("dense, Gossamer", energy("measured", 1.0, 0.1))
    assert payback(SPENT, [DENSE, as_good], SPARSE).inferences is None


def test_like_is_compared_with_like() -> None:
    dense = candidate("dense", energy("measured", 2.0), energy("estimated", 20.0))
    sparse = candidate("sparse", energy("measured", 1.0), energy("estimated", 10.0))
    estimated = replace(SPENT, kind="estimated")
    assert payback(estimated, [dense], sparse).saved_joules == pytest.approx(10.0)
    assert payback(SPENT, [dense], sparse).saved_joules == pytest.approx(1.0)


def test_kinds_that_differ_are_said() -> None:
    dense, sparse = (candidate(str(j), energy("estimated", j)) for j in (2.0, 1.0))
    says = payback(SPENT, [dense], sparse).says
    assert says.endswith("(an inference's energy is estimated).")


@pytest.mark.parametrize(
    "sparse",
    [
        candidate("sparse", energy("measured", 1.9, 0.2)),
        candidate("sparse", energy("measured", 4.0)),
        candidate("sparse", energy("measured", 1.0, rounds=3)),
    ],
    ids=["intervals that meet", "more", "too few rounds"],
)
def test_without_a_sure_saving_nothing_is_repaid(sparse: CandidateResult) -> None:
    found = payback(SPENT, [DENSE], sparse)
    assert (found.saved_joules, found.inferences) == (None, None)
    assert "no sure saving against dense, ONNX Runtime was found" in found.says


def test_what_was_not_measured_is_said() -> None:
    nothing = candidate("sparse", replace(energy("measured", 1.0), joules=None))
    assert payback(SPENT, [DENSE], nothing).says.endswith("takes was not measured.")
