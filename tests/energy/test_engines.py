"""Engines open model files, and say clearly what they cannot open."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.energy import Candidate
from gossamer.energy.engines import open_model
from gossamer.engines import ENGINES, OpenModel
from gossamer.errors import DataError, ModelError, OptionError
from gossamer.formats import save

X = {"x": np.ones((2, 64), np.float32)}


def test_onnxruntime_runs_an_onnx_file_and_a_sparse_file_alike(
    small_onnx: Path, tmp_path: Path
) -> None:
    save(onnx.load(small_onnx), tmp_path / "m.gossamer.safetensors")
    dense = open_model(small_onnx, "onnxruntime", 1).run(X)
    sparse = open_model(tmp_path / "m.gossamer.safetensors", "onnxruntime", 1).run(X)
    assert dense[0].shape == (2, 10)
    np.testing.assert_array_equal(dense[0], sparse[0])


def test_openvino_runs_an_onnx_file_like_onnxruntime(small_onnx: Path) -> None:
    pytest.importorskip("openvino")
    theirs = open_model(small_onnx, "openvino", 1).run(X)
    ours = open_model(small_onnx, "onnxruntime", 1).run(X)
    # OpenVINO computes in bf16 where the processor can.
    assert np.abs(theirs[0] - ours[0]).max() < 0.02 * np.abs(ours[0]).max()


def test_openvino_is_an_extra_and_reads_onnx_alone(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: Any = None
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", missing)
        with pytest.raises(OptionError, match=r"install gossamer\[openvino\]"):
            open_model(small_onnx, "openvino", 1)
    pytest.importorskip("openvino")
    save(onnx.load(small_onnx), tmp_path / "m.gossamer.safetensors")
    with pytest.raises(ModelError, match="give it the ONNX file"):
        open_model(tmp_path / "m.gossamer.safetensors", "openvino", 1)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"OpenVINO cannot load .*text\.onnx \("):
        open_model(tmp_path / "text.onnx", "openvino", 1)


def test_onnxruntime_does_not_spin(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    entries: dict[str, str] = {}

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            entries[key] = value
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    open_model(small_onnx, "onnxruntime", 2)
    assert entries == {"session.intra_op.allow_spinning": "0"}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was given to a stand-in for the compiler, and "closed" once a session was closed."""
    seen: list[Any] = []

    def compile(model: Any, *, threads: int, weights: Any = None) -> Any:
        seen.append((model, threads) if weights is None else (model, threads, weights))
        return SimpleNamespace(
            get_inputs=lambda: [SimpleNamespace(name="x")],
            run=lambda names, feeds: [feeds["x"] * 2],
            close=lambda: seen.append("closed"),
            engine="gossamer",
        )

    monkeypatch.setattr("gossamer.runtime.compile", compile)
    return seen


def test_gossamer_compiles_an_onnx_file_from_its_path(
    small_onnx: Path, compiled: list[Any]
) -> None:
    model = open_model(small_onnx, "gossamer", 2)
    np.testing.assert_array_equal(model.run(X)[0], X["x"] * 2)
    model.close()
    assert compiled == [(small_onnx, 2), "closed"]


def test_gossamer_compiles_a_sparse_file_from_its_graph(
    small_onnx: Path, tmp_path: Path, compiled: list[Any]
) -> None:
    save(onnx.load(small_onnx), tmp_path / "m.gossamer.safetensors")
    open_model(tmp_path / "m.gossamer.safetensors", "gossamer", 1)
    graph, _, weights = compiled[0]
    assert isinstance(graph, onnx.ModelProto)
    assert set(dict(weights)) <= {tensor.name for tensor in graph.graph.initializer}


def test_whoever_has_an_engine_enters_it(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = OpenModel(lambda feeds: [feeds["x"] + 1], lambda: None, "mine")
    monkeypatch.setitem(ENGINES, "mine", lambda path, threads: mine)
    candidate = Candidate.from_file(small_onnx, engine="mine", threads=1)
    np.testing.assert_array_equal(candidate.run(X)[0], X["x"] + 1)
    assert candidate.ran_by == "mine"


def test_inputs_that_do_not_fit_are_named(small_onnx: Path, compiled: list[Any]) -> None:
    for engine in ("onnxruntime", "gossamer"):
        model = open_model(small_onnx, engine, 1)
        with pytest.raises(DataError, match=r"inputs named y do not fit .*, which takes x; name"):
            model.run({"y": X["x"]})


@pytest.mark.parametrize(
    ("name", "engine", "threads", "error", "message"),
    [
        ("absent.onnx", "onnxruntime", 1, ModelError, r"absent\.onnx does not exist; check"),
        ("small.onnx", "abacus", 1, OptionError, "'abacus' is unknown; choose one of gossamer,"),
        ("small.onnx", "onnxruntime", 0, OptionError, "threads is 0; give a whole number"),
        ("text.onnx", "onnxruntime", 1, ModelError, r"cannot load .*text\.onnx \(.*\); export"),
        ("text.safetensors", "onnxruntime", 1, ModelError, "is not a sparse Gossamer file"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(
    small_onnx: Path, name: str, engine: Any, threads: int, error: type[Exception], message: str
) -> None:
    for other in ("text.onnx", "text.safetensors"):
        small_onnx.with_name(other).write_text("hello")
    with pytest.raises(error, match=message) as caught:
        open_model(small_onnx.with_name(name), engine, threads)
    assert "\n" not in str(caught.value)


def test_a_missing_engine_names_the_extra(
    small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OptionError, match=r"install gossamer\[ort\]"):
        open_model(small_onnx, "onnxruntime", 1)
