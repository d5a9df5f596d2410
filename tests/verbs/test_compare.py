"""The proof: dense, its rivals and sparse in turn, what it costs in accuracy, and the payback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import gossamer as gs
from gossamer.cli import app
from gossamer.energy.meters import CpuTimeEstimate
from gossamer.errors import EvaluationError, OptionError
from gossamer.verbs.advise import prune_graph
from gossamer.verbs.compare import DENSE, REFERENCE, SPARSE, Proof

pytest.importorskip("onnxruntime")
X = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)


def quick(dense: Any, sparse: Any, **options: Any) -> Proof:
    given = {"threads": 1, "min_time": 0.0, "max_time": 0.3, "rivals": False, **options}
    return gs.compare(dense, sparse, X, **given)


def write_pair(model: onnx.ModelProto, folder: Path) -> tuple[Path, Path]:
    """The model, and the same without nine tenths of its weights."""
    dense, sparse = folder / "small.onnx", folder / "sparse.onnx"
    onnx.save(model, dense)
    onnx.save(prune_graph(model, 0.9), sparse)
    return dense, sparse


@pytest.fixture
def sparse_onnx(make_perceptron: Any, small_onnx: Path) -> Path:
    return write_pair(make_perceptron(), small_onnx.parent)[1]


def positive(session: Any) -> list[float]:
    """One score a sample from a session, each other for each model."""
    return [float(value) for value in session.run(None, {"x": X})[0][:, 0] > 0]


@pytest.fixture(scope="module")
def proof(make_perceptron: Any, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """With all that can be asked for; a proof takes seconds, so that most tests look at this."""
    dense, sparse = write_pair(make_perceptron(), tmp_path_factory.mktemp("proof"))
    return quick(dense, sparse, rivals=True, evaluate=positive, country="DE", price_per_kwh=0.3)


def test_dense_is_measured_in_ordinary_runtimes_and_both_in_gossamer(proof: Proof) -> None:
    names = [candidate.name for candidate in proof.measured.candidates]
    assert names[:2] == [REFERENCE, "int8, ONNX Runtime"]
    assert names[-2:] == [DENSE, SPARSE]
    assert proof.sparse.name == SPARSE
    assert proof.verdict.startswith("Against the dense model in ONNX Runtime, the sparse one")


def test_what_the_models_hold_is_counted(proof: Proof) -> None:
    dense, sparse = proof.contents["dense"], proof.contents["sparse"]
    assert (dense.weights, dense.nonzeros) == (9472, 9472)
    assert dense.multiply_adds == dense.nonzero_multiply_adds == 4 * 9472
    assert sparse.multiply_adds == 4 * 9472
    assert sparse.nonzeros == pytest.approx(947, abs=2)
    assert sparse.nonzero_multiply_adds == pytest.approx(4 * 947, abs=8)


def test_both_models_and_int8_are_scored_with_intervals(proof: Proof) -> None:
    assert proof.scores is not None
    assert proof.scores.interval is not None
    assert proof.int8_scores is not None
    assert proof.int8_scores.dense == proof.scores.dense


@pytest.mark.usefixtures("memory_unmeasured")
def test_what_sparsify_returned_brings_its_energy_with_it(small_onnx: Path) -> None:
    result = gs.sparsify(onnx.load(small_onnx), sparsity=0.9, solver="magnitude")
    proof = quick(small_onnx, result)
    assert proof.payback is not None
    assert proof.payback.spent == result.energy_spent
    assert result.energy_spent.joules > 0
    assert "Sparsifying took" in proof.payback.says
    assert proof.sparsified is not None
    assert proof.sparsified["sparsity"] == pytest.approx(0.9, abs=0.01)
    # What is deployed is the sparse file, which is smaller.
    assert proof.sparse.gains is not None
    assert proof.sparse.gains.file_bytes is not None
    assert proof.sparse.gains.file_bytes > 2


@pytest.mark.usefixtures("memory_unmeasured")
def test_so_does_the_folder_that_the_command_line_wrote(small_onnx: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app,
        [
            "sparsify",
            str(small_onnx),
            "--sparsity",
            "0.9",
            "--solver",
            "magnitude",
            "--out",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.output
    proof = quick(small_onnx, out)
    assert proof.payback is not None
    assert proof.payback.spent.joules > 0
    # Another file in its place has another history.
    gs.save(onnx.load(small_onnx), out / "model.gossamer.safetensors")
    assert quick(small_onnx, out).payback is None


def test_carbon_and_money_are_of_a_million_inferences(proof: Proof) -> None:
    many = proof.per_million(proof.sparse)
    joules = proof.sparse.energy.joules
    assert joules is not None
    assert many["kwh"] == pytest.approx(joules.median / 3.6)
    assert many["grams"] == pytest.approx(381 * joules.median / 3.6)
    assert many["cost"] == pytest.approx(0.3 * joules.median / 3.6)
    assert proof.grid is not None
    assert "Our World in Data" in proof.grid.source
    plain = replace(proof, grid=None)
    assert plain.per_million(plain.sparse)["grams"] is None


@pytest.mark.usefixtures("memory_unmeasured")
@pytest.mark.parametrize("country", [100.0, "100"])
def test_an_intensity_that_is_known_is_taken(
    small_onnx: Path, sparse_onnx: Path, country: Any
) -> None:
    grid = quick(small_onnx, sparse_onnx, country=country).grid
    assert grid is not None
    assert (grid.grams_per_kwh, grid.source) == (100, "as given")


def test_onnx_runtime_is_also_told_as_it_is_by_default(proof: Proof) -> None:
    seconds = proof.spinning_seconds
    assert seconds is not None
    assert 0 < seconds < 1


@pytest.mark.usefixtures("memory_unmeasured")
def test_meters_may_be_given(small_onnx: Path, sparse_onnx: Path) -> None:
    proof = quick(small_onnx, sparse_onnx, meters=[CpuTimeEstimate(3.0)])
    assert "3 W per core (as given)" in proof.sparse.energy.method
    assert proof.grid is None


def test_everything_goes_into_json(proof: Proof) -> None:
    document = json.loads(json.dumps(proof.to_dict()))
    assert document["verdict"] == proof.verdict
    assert document["contents"].keys() == {"dense", "sparse"}
    assert [layer["name"] for layer in document["layers"]] == ["hidden_layer", "output_layer"]
    assert document["grid"]["grams_per_kwh"] == 381
    assert document["candidates"][0]["per_million"]["kwh"] > 0


# Bad input


def test_an_evaluation_of_another_length_is_found_before_anything_is_measured(
    small_onnx: Path, sparse_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = iter([3, 4])

    def measured(*given: Any, **options: Any) -> None:
        raise AssertionError("measured in vain")

    monkeypatch.setattr("gossamer.verbs.compare.measure", measured)
    with pytest.raises(EvaluationError, match=r"gave 3 score\(s\) .* and 4 for a sparse one"):
        quick(small_onnx, sparse_onnx, evaluate=lambda session: [1.0] * next(lengths))


@pytest.mark.usefixtures("memory_unmeasured")
def test_what_fails_after_the_measuring_is_noted_and_the_rest_is_kept(
    small_onnx: Path, sparse_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.errors import ModelError

    def fail(*given: Any) -> None:
        raise ModelError("no time to tell")

    monkeypatch.setattr("gossamer.verbs.compare.compare_layers", fail)
    monkeypatch.setattr("gossamer.verbs.compare.spinning_seconds", fail)
    proof = quick(small_onnx, sparse_onnx)
    assert proof.layers == ()
    assert proof.spinning_seconds is None
    assert "The times of single layers were not measured: no time to tell." in proof.notes
    assert proof.sparse.latency_ms.median > 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"country": "XX"}, "not in the list"),
        ({"country": []}, r"the carbon intensity is \[\]; give grams"),
        ({"country": float("nan")}, "carbon intensity is nan; give grams"),
        ({"price_per_kwh": -1}, "price_per_kwh is -1; give a price"),
        ({"evaluate": 5}, "evaluate is 5; give a function from the model"),
        ({"threads": 0}, "threads is 0; give a whole number from 1 up"),
        ({"min_time": "long"}, "min_time is 'long'; give seconds"),
        ({"max_time": float("inf")}, "max_time is inf; give seconds"),
        ({"watts_per_core": "5"}, "watts_per_core is '5'; give the watts"),
        ({"progress": "yes"}, "progress is 'yes'; give True, False or a function"),
    ],
)
def test_options_out_of_range_are_refused(
    small_onnx: Path, option: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        quick(small_onnx, small_onnx, **option)


@pytest.mark.usefixtures("memory_unmeasured")
def test_a_rival_that_does_not_run_is_left_out_and_said(
    small_onnx: Path, sparse_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.verbs.baselines import Baseline

    broken = small_onnx.with_name("broken.onnx")
    broken.write_text("hello")
    rival = Baseline("int8, Elsewhere", broken, "onnxruntime")
    monkeypatch.setattr("gossamer.verbs.compare.baselines", lambda *given: ([rival], ["No int4."]))
    found = quick(small_onnx, sparse_onnx, rivals=True)
    assert [one.name for one in found.measured.candidates] == [REFERENCE, DENSE, SPARSE]
    assert found.notes[0] == "No int4."
    assert found.notes[1].startswith("int8, Elsewhere was not measured (ONNX Runtime cannot load")
