"""A candidate is something that runs and, where there is one, the file to deploy."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from gossamer import machine
from gossamer.energy import Candidate
from gossamer.errors import ModelError, OptionError


def test_a_file_becomes_a_candidate_that_runs(small_onnx: Path) -> None:
    candidate = Candidate.from_file(small_onnx, threads=1, name="dense")
    (output,) = candidate.run({"x": np.ones((2, 64), np.float32)})
    assert output.shape == (2, 10)
    assert (candidate.name, candidate.engine, candidate.threads) == ("dense", "onnxruntime", 1)
    candidate.close()


def test_by_default_it_is_named_after_its_file_and_uses_every_core(small_onnx: Path) -> None:
    candidate = Candidate.from_file(small_onnx)
    assert candidate.name == "small.onnx in onnxruntime"
    assert candidate.threads == machine.default_threads()


def test_the_bytes_to_deploy_include_external_data(small_onnx: Path, tmp_path: Path) -> None:
    plain = Candidate.from_file(small_onnx, threads=1)
    assert plain.file_bytes() == small_onnx.stat().st_size
    onnx.save_model(
        onnx.load(small_onnx),
        tmp_path / "external.onnx",
        save_as_external_data=True,
        location="external.bin",
        size_threshold=0,
    )
    external = Candidate.from_file(tmp_path / "external.onnx", threads=1)
    names = ("external.onnx", "external.bin")
    assert external.file_bytes() == sum((tmp_path / name).stat().st_size for name in names)


def test_a_callable_has_no_file() -> None:
    assert Candidate("callable", lambda feeds: feeds).file_bytes() is None


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Candidate.from_file(tmp_path / "absent.onnx")


def test_a_session_is_a_candidate_whose_memory_is_not_measured(small_onnx: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(small_onnx, providers=["CPUExecutionProvider"])
    candidate = Candidate.from_session(session, "theirs")
    x = np.ones((2, 64), np.float32)
    np.testing.assert_array_equal(candidate.run({"x": x})[0], session.run(None, {"x": x})[0])
    assert candidate.file is None
    assert candidate.compressed_bytes() is None


def test_what_cannot_run_is_no_session() -> None:
    with pytest.raises(OptionError, match=r"str has no run\(None, feeds\); give a session"):
        Candidate.from_session("model.onnx", "theirs")


def test_compressed_bytes_are_those_of_zlib(small_onnx: Path) -> None:
    candidate = Candidate("file", lambda feeds: None, small_onnx)
    assert candidate.compressed_bytes() == len(zlib.compress(small_onnx.read_bytes()))
