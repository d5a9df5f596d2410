"""From a model in any form to any other, and back into every verb."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gossamer as gs
from gossamer.errors import DataError, ModelError, OptionError, OutputError
from gossamer.formats.result_file import read_result
from gossamer.models.places import ONNX_FILE, SPARSE_FILE
from gossamer.verbs.export import export

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


# Forms


def test_each_form_of_a_module_gives_what_the_module_gives(result: Any, tmp_path: Path) -> None:
    for to, name in (("onnx", "m.onnx"), ("sparse", "m.gossamer.safetensors"), ("onnx", "folder")):
        written = export(result, tmp_path / name, to=to)
        assert written.path == tmp_path / name
        close(outputs(tmp_path / name, {"input": X}), expected(result.model))


@pytest.mark.parametrize("form", ["proto", "bytes", "file", "sparse file", "folder"])
def test_each_form_of_an_onnx_model_is_taken(form: str, small_onnx: Path, tmp_path: Path) -> None:
    proto = onnx.load(small_onnx)
    gs.save(proto, tmp_path / "m.gossamer.safetensors")
    export(proto, tmp_path / "folder", to="onnx")
    given: Any = {
        "proto": proto,
        "bytes": proto.SerializeToString(),
        "file": str(small_onnx),
        "sparse file": tmp_path / "m.gossamer.safetensors",
        "folder": tmp_path / "folder",
    }[form]
    assert [layer.name for layer in gs.inspect(given).layers] == ["hidden_layer", "output_layer"]
    export(given, tmp_path / "out.onnx", to="onnx")
    assert onnx.load(tmp_path / "out.onnx").graph.node == proto.graph.node


def test_an_onnx_model_is_exported_without_torch(small_onnx: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import gossamer as gs; "
        "gs.export(sys.argv[1], sys.argv[2] + '/sparse', to='sparse'); "
        "gs.export(sys.argv[2] + '/sparse', sys.argv[2] + '/back.onnx', to='onnx'); "
        "gs.save(sys.argv[2] + '/back.onnx', sys.argv[2] + '/b.gossamer.safetensors'); "
        "print(len(gs.inspect(sys.argv[2] + '/b.gossamer.safetensors').layers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(small_onnx), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2\n", done.stderr


def test_what_no_form_can_be_made_of_is_refused(mlp: Any, small_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown form 'tflite'; choose one of: onnx, sparse, hf"):
        export(small_onnx, tmp_path / "out", to="tflite")
    with pytest.raises(OptionError, match=r"ends as a file of the form 'onnx', and 'sparse' is"):
        export(small_onnx, tmp_path / "m.onnx", to="sparse")
    with pytest.raises(ModelError, match="is ONNX, which no Hugging Face directory holds"):
        export(small_onnx, tmp_path / "out", to="hf")
    with pytest.raises(ModelError, match="a Sequential is no module of transformers"):
        export(mlp, tmp_path / "out", to="hf")
    with pytest.raises(DataError, match="give example inputs"):
        export(mlp, tmp_path / "out", to="onnx")
    with pytest.raises(OutputError, match="exists already"):
        export(small_onnx, tmp_path, to="onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.onnx"]


# Folders for deployment


def test_the_folder_of_a_module_holds_what_a_device_needs(
    result: Any, mlp: Any, tmp_path: Path
) -> None:
    written = result.save(tmp_path / "out")
    files = {ONNX_FILE, SPARSE_FILE, "result.json"}
    assert files <= set(written.files) <= files | {"README.md"} and written.notes == ()
    told = read_result(tmp_path / "out" / SPARSE_FILE)
    assert told is not None and told["sparsity"] == pytest.approx(0.5)
    for name in ("", ONNX_FILE, SPARSE_FILE):
        close(outputs(tmp_path / "out" / name, {"input": X}), expected(result.model))
    with pytest.raises(OutputError, match="exists already"):
        result.save(tmp_path / "out")


def test_a_result_that_saw_no_data_asks_for_an_example(mlp: Any, tmp_path: Path) -> None:
    made = gs.sparsify(mlp, sparsity=0.5, solver="magnitude", layers=".*")
    with pytest.raises(DataError, match="give example inputs"):
        made.save(tmp_path / "out")
    assert not list(tmp_path.iterdir())
    made.save(tmp_path / "out", example_inputs=X[:1])


def test_the_folder_of_a_hugging_face_model_has_weights_and_tokenizer(
    directory: Path, folder: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    assert (folder / "vocab.txt").read_text() == "hello\nworld\n"
    assert not list(folder.rglob("*.bin"))
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    weight = loaded.bert.encoder.layer[0].output.dense.weight
    assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    feeds = {name: torch.from_numpy(array) for name, array in TOKENS.items()}
    with torch.inference_mode():
        theirs = loaded(**feeds).logits.numpy()
    close(outputs(folder, TOKENS), theirs)
    assert json.loads((folder / "result.json").read_text())["notes"] is not None


def test_recovery_goes_on_from_the_folder(directory: Path, folder: Path, tmp_path: Path) -> None:
    found = gs.recover(folder, directory, TOKENS, steps=2, batch_size=4)
    assert found.sparsity == pytest.approx(0.5, abs=0.01)
    assert found.source == folder
    told = read_result(folder / SPARSE_FILE)
    assert told is not None
    assert found.energy_spent.cpu_seconds > told["energy_spent"]["cpu_seconds"], "of both"
    written = found.save(tmp_path / "out")
    assert {"vocab.txt", "model.safetensors", SPARSE_FILE} <= set(written.files)
    close(outputs(tmp_path / "out", TOKENS), outputs(found, TOKENS))


def test_the_folder_is_written_again_in_each_form(folder: Path, tmp_path: Path) -> None:
    for to, file in (("onnx", ONNX_FILE), ("sparse", SPARSE_FILE), ("hf", "model.safetensors")):
        written = export(folder, tmp_path / to, to=to)
        assert {file, "config.json", "vocab.txt"} <= set(written.files)
        assert not {ONNX_FILE, SPARSE_FILE, "model.safetensors"} - {file} & set(written.files)
        assert gs.inspect(tmp_path / to).model_sparsity > 0.1
    assert read_result(tmp_path / "sparse" / SPARSE_FILE) == {
        **(read_result(folder / SPARSE_FILE) or {}),
        "file_sha256": json.loads((tmp_path / "sparse/result.json").read_text())["file_sha256"],
    }
    assert not (tmp_path / "onnx" / "result.json").exists(), "it tells of a sparse file"


def test_a_trained_module_has_the_same_folder(mlp: Any, tmp_path: Path) -> None:
    import torch

    model = copy.deepcopy(mlp)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsifier = gs.Sparsifier(sparsity=0.5, steps=2, layers=".*")
    sparsifier.prepare(model, optimizer)
    with pytest.raises(OptionError, match=r"save\(\) before finalize\(\)"):
        sparsifier.save(tmp_path / "out", example_inputs=X)
    for _ in range(2):
        model(torch.from_numpy(X)).square().mean().backward()
        optimizer.step()
        sparsifier.step()
    sparsifier.finalize()
    written = sparsifier.save(tmp_path / "out", example_inputs=X[:1])
    assert written.files == (SPARSE_FILE, ONNX_FILE, "result.json")
    close(outputs(tmp_path / "out", {"input": X}), expected(model))
    told = read_result(tmp_path / "out" / SPARSE_FILE)
    assert told is not None and told["method"] == "magnitude"
    assert [layer["sparsity"] for layer in told["layers"]] == pytest.approx([0.5, 0.5])
