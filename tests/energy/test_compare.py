"""The comparison as a user sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from gossamer.energy import Candidate, Comparison, measure
from gossamer.energy.compare import max_relative_difference
from gossamer.errors import DataError, OptionError
from gossamer.formats import save

X = {"x": np.ones((2, 64), np.float32)}


pytestmark = pytest.mark.usefixtures("short")


def busy(seconds: float, result: Any = 1.0) -> Callable[[Any], Any]:
    """Make a run that takes so much CPU time of this thread."""

    def run(feeds: Any) -> Any:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return result

    return run


def quick(candidates: list[Candidate], inputs: Any = X, **options: Any) -> Comparison:
    return measure(
        candidates, inputs, **{"min_time": 0, "min_rounds": 8, "precision": 1e9, **options}
    )


def test_a_candidate_of_a_third_of_the_work_is_about_three_times_faster() -> None:
    found = quick([Candidate("heavy", busy(0.006)), Candidate("light", busy(0.002))])
    heavy, light = found.candidates
    assert heavy.gains is None
    assert heavy.speed_verdict is None
    assert light.gains is not None
    assert light.gains.cpu_seconds.median == pytest.approx(3, rel=0.15)
    assert light.speed_verdict is not None
    assert "times faster (" in light.speed_verdict
    assert light.energy_verdict is not None
    assert "times less estimated energy (" in light.energy_verdict
    assert heavy.cpu_seconds.median == pytest.approx(0.006, rel=0.1)
    assert heavy.latency_ms.median >= 6


def test_the_same_work_takes_about_as_much_cpu_time() -> None:
    found = quick([Candidate("one", busy(0.004)), Candidate("two", busy(0.004))], min_rounds=12)
    gains = found.candidates[1].gains
    assert gains is not None
    assert gains.cpu_seconds.median == pytest.approx(1, rel=0.1)


def test_energy_is_cpu_seconds_times_watts_and_says_that_it_is_estimated() -> None:
    found = quick([Candidate("one", busy(0.003))], watts_per_core=100).candidates[0]
    assert found.energy.joules is not None
    # The memory that this process holds comes on top, which is little beside so many watts.
    assert found.energy.joules.median == pytest.approx(100 * found.cpu_seconds.median, rel=0.2)
    assert found.energy.kind == "estimated"
    assert "100 W per core" in found.energy.method


def test_files_are_measured_with_bytes_and_memory_and_agree(
    small_onnx: Path, tmp_path: Path
) -> None:
    model = onnx.load(small_onnx)
    save(model, tmp_path / "sparse.gossamer.safetensors", values="fp16")
    found = quick(
        [
            Candidate.from_file(small_onnx, threads=1, name="dense"),
            Candidate.from_file(tmp_path / "sparse.gossamer.safetensors", threads=1, name="half"),
        ]
    )
    dense, half = found.candidates
    assert half.gains is not None
    assert dense.file_bytes == small_onnx.stat().st_size
    assert half.gains.file_bytes == pytest.approx(2, rel=0.1)
    assert half.gains.peak_memory_bytes == pytest.approx(1, rel=0.5)
    assert half.max_relative_difference is not None
    assert 0 < half.max_relative_difference < 2e-3
    assert (dense.engine, dense.threads, dense.file) == ("onnxruntime", 1, "small.onnx")


def test_everything_goes_into_json_with_what_it_depends_on() -> None:
    candidates = [Candidate("a", busy(0.003)), Candidate("b", busy(0.003))]
    document = json.loads(json.dumps(quick(candidates).to_dict()))
    assert document["rounds"] == 8
    assert document["inputs"] == [{"x": [2, 64]}]
    assert {"processor", "cores", "platform", "versions"} <= document["environment"].keys()
    assert {"python", "numpy", "gossamer"} <= document["environment"]["versions"].keys()
    first, second = document["candidates"]
    assert first["latency_ms"].keys() == {"median", "low", "high"}
    assert first["gains"] is None
    assert first["energy"]["kind"] == "estimated"
    assert first["energy"]["method"].startswith("estimated: busy CPU seconds x")
    assert second["energy"]["gain"].items() <= second["gains"]["energy"].items()
    assert second["gains"]["energy"]["kind"] == "estimated"
    assert document["notes"] == list(document["notes"])
    assert document["noise"].keys() == {"others", "stolen", "spread", "drift", "noisy_windows"}
    assert first["peak_memory"]["bytes"] is None
    assert first["peak_memory"]["method"].startswith("not measured")
    assert second["gains"]["file_bytes"] is None


def test_several_batches_are_cycled_through_by_everyone_alike() -> None:
    seen: dict[str, list[float]] = {"a": [], "b": []}

    def run(name: str) -> Callable[[Any], None]:
        return lambda feeds: seen[name].append(float(feeds["x"][0]))

    batches = [{"x": np.array([float(i)])} for i in range(3)]
    quick([Candidate("a", run("a")), Candidate("b", run("b"))], batches, min_rounds=2)
    for name in seen:
        counts = np.bincount(np.array(seen[name], int))
        assert counts.max() - counts.min() <= 2


def test_progress_is_told() -> None:
    told: list[float] = []
    quick([Candidate("a", busy(0.003))], progress=told.append)
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("outputs", "reference", "expected"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0),
        ([[1.0, 2.2]], [[1.0, 2.0]], 0.1),
        ([[1.0], [5.5]], [[1.0], [5.0]], 0.1),
        ([[1]], [[0]], float("inf")),
        ([[np.nan]], [[1.0]], float("inf")),
        ([[np.nan]], [[np.nan]], 0.0),
        ([[]], [[]], 0.0),
        ([[1.0]], [[1.0, 2.0]], None),
        ([[1.0]], [[1.0], [2.0]], None),
        ([["a"]], [["b"]], None),
    ],
)
def test_agreement_is_the_largest_relative_difference(
    outputs: Any, reference: Any, expected: float | None
) -> None:
    found = max_relative_difference(
        [np.array(a) for a in outputs], [np.array(b) for b in reference]
    )
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "output",
    [
        np.ones(3, np.float32),
        [np.ones(3)],
        {"y": np.ones(3)},
        torch.ones(3, requires_grad=True),
        (torch.ones(3),),
    ],
    ids=["array", "list", "mapping", "tensor with gradient", "tuple of tensors"],
)
def test_outputs_of_any_usual_kind_are_compared(output: Any) -> None:
    found = quick(
        [Candidate("a", busy(0.003, [np.ones(3)])), Candidate("b", busy(0.003, output))],
        min_rounds=1,
    )
    assert found.candidates[1].max_relative_difference == 0


def test_outputs_of_no_usual_kind_are_not_compared() -> None:
    found = quick(
        [Candidate("a", busy(0.003, object())), Candidate("b", busy(0.003, object()))],
        min_rounds=1,
    )
    assert found.candidates[1].max_relative_difference is None


# Meters


def test_energy_is_gone_by_the_first_meter_and_the_estimate_stands_beside(counter: Any) -> None:
    found = quick([Candidate("a", busy(0.006)), Candidate("b", busy(0.003))], meters=[counter(8.0)])
    first, second = found.candidates
    assert [energy.meter for energy in first.energies] == ["counter", "CPU time"]
    assert first.energy.joules is not None
    assert first.energy.joules.median == pytest.approx(8.0 * first.latency_ms.median / 1e3, rel=0.2)
    assert second.gains is not None
    assert second.gains.energy == second.energy.gain
    assert second.energy_verdict is not None
    assert "less measured energy" in second.energy_verdict


def test_a_meter_that_fails_on_the_way_keeps_what_it_measured(counter: Any) -> None:
    meter = counter(8.0, fails_after=12)
    found = quick([Candidate("a", busy(0.003)), Candidate("b", busy(0.003))], meters=[meter])
    energy = found.candidates[1].energy
    assert energy.joules is not None
    assert (
        energy.note
        == "6 of 8 windows could be measured; counter: the counter is gone; plug it in again"
    )
    assert "counter: the counter is gone; plug it in again." in found.notes


def test_a_meter_that_never_measures_leaves_the_estimate_to_go_by(counter: Any) -> None:
    meter = counter(8.0, fails_after=0)
    found = quick([Candidate("a", busy(0.003)), Candidate("b", busy(0.003))], meters=[meter])
    first, second = found.candidates
    assert (first.energy.meter, first.energies[1].joules) == ("CPU time", None)
    assert second.gains is not None


# When to stop


def test_rounds_are_added_until_the_ratios_are_known_well_enough() -> None:
    candidates = [Candidate("a", busy(0.004)), Candidate("b", busy(0.002))]
    rough = quick(candidates, precision=0.5, min_rounds=2)
    fine = quick(candidates, precision=1e-9, min_rounds=2, max_time=0.6)
    assert rough.rounds < fine.rounds
    assert any("Time was up before the ratios were known" in note for note in fine.notes)
    assert not any("Time was up" in note for note in rough.notes)


def test_a_model_too_slow_for_the_budget_is_said_and_told_as_far_as_it_went() -> None:
    slow = [Candidate("a", busy(0.05)), Candidate("b", busy(0.05))]
    found = quick(slow, max_time=0.01, min_rounds=20)
    assert found.rounds == 1
    assert any("Only 1 round fitted into the time" in note for note in found.notes)
    assert found.candidates[1].gains is not None


def test_a_candidate_that_fails_on_the_way_ends_the_measuring_and_the_rounds_are_kept() -> None:
    calls = iter(range(10_000))

    def failing(feeds: Any) -> float:
        if next(calls) > 30:
            raise RuntimeError("out of memory\nat line 3")
        return float(busy(0.003)(feeds))

    found = quick([Candidate("a", busy(0.003)), Candidate("b", failing)], min_rounds=1000)
    assert 1 <= found.rounds < 1000
    (note,) = (note for note in found.notes if "failed" in note)
    assert note == (
        f"b failed in round {found.rounds + 1} (out of memory); the figures are of the "
        f"{found.rounds} rounds before."
    )


def test_candidates_that_return_other_shapes_are_said_to_do_other_work() -> None:
    one, two = busy(0.003, [np.ones((1, 3))]), busy(0.003, [np.ones((1, 4))])
    found = quick([Candidate("a", one), Candidate("b", two)])
    assert any("b returns other shapes than a (1x4 for 1x3)" in note for note in found.notes)
    assert found.candidates[1].max_relative_difference is None


# Bad input


def test_a_precision_that_is_never_reached_is_refused() -> None:
    with pytest.raises(OptionError, match="precision is 0; give a number above 0"):
        quick([Candidate("a", busy(0))], precision=0)


def test_meters_need_names_of_their_own_and_no_power_beside_them(counter: Any) -> None:
    with pytest.raises(OptionError, match="two meters have one name"):
        quick([Candidate("a", busy(0))], meters=[counter(), counter()])
    with pytest.raises(OptionError, match="contradict each other"):
        quick([Candidate("a", busy(0))], meters=[counter()], watts_per_core=3)


@pytest.mark.parametrize(
    "candidates", [[], [Candidate("a", busy(0)), Candidate("a", busy(0))]], ids=["none", "twice"]
)
def test_candidates_need_names_of_their_own(candidates: list[Candidate]) -> None:
    with pytest.raises(OptionError, match="each with a name of its own"):
        quick(candidates)


@pytest.mark.parametrize(
    "options",
    [
        {"min_time": -1},
        {"min_time": float("nan")},
        {"min_time": "1"},
        {"max_time": float("inf")},
        {"min_rounds": 0},
        {"min_rounds": 2.5},
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(OptionError, match=f"{name} is .*; give "):
        quick([Candidate("a", busy(0))], **options)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "give at least one array"),
        ([], "no inputs to measure on; give at least one batch"),
        ([{}], "give at least one array"),
        ([np.ones(3)], "arrays by input name"),
        ({"x": [object()]}, "input 'x' holds no numbers; give"),
    ],
)
def test_inputs_that_are_none_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick([Candidate("a", busy(0))], inputs)


def test_a_candidate_that_fails_is_named_with_the_inputs_and_the_reason(
    small_onnx: Path,
) -> None:
    candidate = Candidate.from_file(small_onnx, threads=1, name="dense")
    with pytest.raises(DataError, match=r"'dense' fails on the inputs x \(2, 63\) \(.+\); give"):
        quick([candidate], {"x": np.ones((2, 63), np.float32)})
    with pytest.raises(DataError, match=r"inputs named z do not fit"):
        quick([candidate], {"z": np.ones((2, 64), np.float32)})


def test_a_meter_that_failed_early_is_not_gone_by(counter: Any) -> None:
    meter = counter(8.0, fails_after=3)
    found = quick([Candidate("a", busy(0.003)), Candidate("b", busy(0.003))], meters=[meter])
    assert [energy.meter for energy in found.candidates[1].energies] == ["CPU time", "counter"]


def test_too_few_rounds_have_no_verdict() -> None:
    found = quick([Candidate("a", busy(0.006)), Candidate("b", busy(0.003))], min_rounds=2)
    assert found.candidates[1].speed_verdict == "not significant"
    assert found.candidates[1].energy_verdict == "not significant"
    assert any("Only 2 rounds fitted" in note for note in found.notes)


def test_nan_outputs_are_said_and_are_no_number_in_json() -> None:
    one, two = busy(0.003, [np.ones(3)]), busy(0.003, [np.full(3, np.nan)])
    found = quick([Candidate("a", one), Candidate("b", two)])
    assert any("b returns NaN or infinity where a does not" in note for note in found.notes)
    assert found.to_dict()["candidates"][1]["max_relative_difference"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_model_that_gossamer_leaves_to_another_engine_is_said() -> None:
    one = Candidate("sparse", busy(0.003), engine="gossamer", ran_by="onnxruntime")
    found = quick([Candidate("a", busy(0.003)), one])
    assert any("sparse: the whole model was left to ONNX Runtime" in note for note in found.notes)


def test_a_meter_named_like_the_estimate_stands_for_it(counter: Any) -> None:
    found = quick([Candidate("a", busy(0.003))], meters=[counter(8.0, "CPU time")])
    assert len(found.candidates[0].energies) == 1
