"""Files that earlier versions wrote are read by this one, to the bit."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import gossamer as gs
from gossamer.edge.joules import compared_joules
from gossamer.formats.onnx_io import load_onnx
from gossamer.pruning.folder import Folder
from gossamer.report.html import write_report
from gossamer.report.terminal import print_proof

HERE = Path(__file__).parent
VERSIONS = sorted(path for path in HERE.iterdir() if (path / "comparison.json").is_file())


@pytest.fixture(scope="module")
def models() -> Iterator[Any]:
    """What the files were made of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield importlib.import_module("models")
    del sys.modules["models"]


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest) -> Path:
    """The files of one version."""
    return Path(request.param)


@pytest.fixture
def copied(golden: Path, tmp_path: Path) -> Path:
    """Files that may be changed."""
    return Path(shutil.copytree(golden, tmp_path / "golden"))


def test_there_are_files_to_read() -> None:
    assert "0.1.0" in [path.name for path in VERSIONS]


def test_a_module_comes_back_with_what_it_shares(golden: Path, models: Any) -> None:
    expected = models.sparse_network().state_dict()
    # Half precision holds these values too.
    for name in ("module", "half"):
        found = gs.load(golden / f"{name}.gossamer.safetensors").state_dict()
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), (name, key)


def test_arrays_of_every_type_come_back_to_the_bit(golden: Path, models: Any) -> None:
    found = gs.load(golden / "arrays.gossamer.safetensors").arrays()
    expected = models.arrays()
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        # A negative zero may have become a positive one; see `formats.encoding`.
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("file", ["onnx.gossamer.safetensors", "dense.onnx", "sparse.onnx"])
def test_an_onnx_model_runs_as_it_did(golden: Path, models: Any, file: str) -> None:
    x = models.samples()
    with gs.compile(golden / file, threads=1) as session:
        (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, models.onnx_output(x), rtol=1e-4, atol=1e-5)


def test_sparse_initializers_are_those_of_the_dense_file(golden: Path) -> None:
    dense, sparse = (load_onnx(golden / f"{name}.onnx") for name in ("dense", "sparse"))
    assert sorted(t.name for t in dense.graph.initializer) == sorted(
        t.name for t in sparse.graph.initializer
    )


def test_a_deployment_folder_is_a_model(golden: Path, models: Any) -> None:
    folder = golden / "deployment"
    x = models.samples()
    expected = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"x": x})[0]
    with gs.compile(folder / "model.gossamer.safetensors", threads=1) as session:
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-5)
    told = json.loads((folder / "result.json").read_text())
    assert gs.inspect(str(folder)).to_dict()["zeros"] == told["model_zeros"]


def test_an_interrupted_search_goes_on_in_its_folder(copied: Path, models: Any) -> None:
    make = _maker(models)
    dense = models.perceptron(sparse=False)
    solved = sorted(path.name for path in (copied / "job" / "database").iterdir())
    logged = Folder(copied / "job", json.loads((copied / "job/job.json").read_text())).trials()
    result = gs.sparsify(
        dense,
        {"input": models.samples()},
        evaluate=models.agreement(dense),
        folder=copied / "job",
        **make.SEARCH,
    )
    assert result.drop is not None and result.drop <= make.SEARCH["max_drop"]
    assert {trial["asked"] for trial in logged} <= {trial.asked for trial in result.trials}
    # Those of the same version are not solved again; a later one may solve otherwise.
    assert set(solved) <= {path.name for path in (copied / "job" / "database").iterdir()}


def test_a_finished_recovery_is_taken_from_its_checkpoint(copied: Path, models: Any) -> None:
    make = _maker(models)
    kept = torch.load(copied / "recovery" / "recovery.pt", weights_only=True)["state"]["model"]
    result = gs.recover(
        models.perceptron(sparse=True),
        models.perceptron(sparse=False),
        {"input": models.samples()},
        folder=copied / "recovery",
        **make.RECOVERY,
    )
    assert result.steps == make.RECOVERY["steps"]
    found = result.model.state_dict()
    assert set(found) == set(kept)
    assert all(torch.equal(found[name], kept[name]) for name in kept), "nothing is trained again"


def test_a_comparison_is_shown_reported_and_placed(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = json.loads((golden / "comparison.json").read_text())
    print_proof(proof)
    assert "Gossamer" in capsys.readouterr().out
    write_report(proof, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000
    dense, sparse = compared_joules(golden / "comparison.json")
    assert dense.median > 0 and sparse.median > 0


def _maker(models: Any) -> Any:
    assert models.__file__
    return importlib.import_module("make")
