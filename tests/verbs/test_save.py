"""Saving a model as the sparse file that a device runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossamer as gs
from gossamer.errors import ModelError, OptionError
from gossamer.models import open_model
from gossamer.verbs.save import save

X = np.random.default_rng(0).standard_normal((16, 12)).astype(np.float32)
IDS = np.random.default_rng(0).integers(0, 40, (8, 6))
TOKENS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}


def outputs(model: Any, feeds: dict[str, Any]) -> Any:
    with gs.compile(model, threads=1) as session:
        return session.run(None, feeds)[0]


def expected(module: Any, x: Any = X) -> Any:
    import torch

    with torch.inference_mode():
        return module(torch.from_numpy(x)).numpy()


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_result_is_saved_and_compiled_in_two_lines(result: Any, tmp_path: Path) -> None:
    gs.save(result, tmp_path / "m.gossamer.safetensors")
    close(outputs(tmp_path / "m.gossamer.safetensors", {"input": X}), expected(result.model))


def test_a_module_is_saved_with_its_graph_where_an_example_is_given(
    mlp: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.gossamer.safetensors"
    gs.save(mlp, path, example_inputs=X[:1])
    close(outputs(path, {"input": X}), expected(mlp))
    stored = gs.load(path).state_dict()
    assert stored.keys() == mlp.state_dict().keys()
    # Weights that the graph shares with the module are stored once: 408 numbers take 1,632 bytes.
    assert path.stat().st_size < 9000


def test_without_an_example_weights_alone_are_saved_and_the_remedy_is_told(
    mlp: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.gossamer.safetensors"
    gs.save(mlp, path)
    assert gs.load(path).state_dict().keys() == mlp.state_dict().keys()
    for verb in (gs.compile, gs.advise, lambda model: gs.sparsify(model, X, sparsity=0.5)):
        with pytest.raises(ModelError, match=r"no ONNX graph.*example_inputs.*the module itself"):
            verb(path)


def test_a_text_model_needs_no_example(directory: Path, tmp_path: Path) -> None:
    module = open_model(directory).model
    gs.save(module, tmp_path / "m.gossamer.safetensors")
    assert outputs(tmp_path / "m.gossamer.safetensors", TOKENS).shape == (8, 2)


def test_weights_are_saved_though_a_graph_that_nobody_asked_for_cannot_be(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ModelError("the model cannot be exported to ONNX")

    monkeypatch.setattr("gossamer.models.writing.export_graph", fails)
    module = open_model(directory).model
    with pytest.warns(UserWarning, match="written without a graph.*cannot be exported"):
        gs.save(module, tmp_path / "m.gossamer.safetensors")
    stored = gs.load(tmp_path / "m.gossamer.safetensors").state_dict()
    assert stored.keys() == module.state_dict().keys()


def test_a_mapping_cannot_be_traced(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="leave out example_inputs"):
        save({"w": np.eye(3)}, tmp_path / "m.gossamer.safetensors", example_inputs=X)


def test_halves_are_written_where_asked_for(small_onnx: Path, tmp_path: Path) -> None:
    save(small_onnx, tmp_path / "full.gossamer.safetensors")
    save(small_onnx, tmp_path / "half.gossamer.safetensors", values="fp16")
    full, half = ((tmp_path / f"{n}.gossamer.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.6 * full


@pytest.mark.slow
def test_another_process_without_torch_runs_what_was_saved(mlp: Any, tmp_path: Path) -> None:
    gs.save(mlp, tmp_path / "m.gossamer.safetensors", example_inputs=X[:1])
    np.save(tmp_path / "x.npy", X)
    script = (
        "import sys; sys.modules['torch'] = None; import numpy as np, gossamer as gs; "
        "s = gs.compile(sys.argv[1] + '/m.gossamer.safetensors', threads=1); "
        "x = np.load(sys.argv[1] + '/x.npy'); "
        "np.save(sys.argv[1] + '/y.npy', s.run(None, {'input': x})[0])"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    close(np.load(tmp_path / "y.npy"), expected(mlp))
