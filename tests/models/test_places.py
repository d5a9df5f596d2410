from __future__ import annotations

from pathlib import Path

import pytest

from gossamer.errors import ModelError
from gossamer.models.places import ONNX_FILE, SPARSE_FILE, find_place


def test_a_file_is_known_by_its_suffix(tmp_path: Path) -> None:
    for name, kind in (
        ("m.onnx", "onnx"),
        ("m.gossamer.safetensors", "sparse"),
        ("m.pt2", "exported"),
        ("m.py:make", "function"),
    ):
        place = find_place(tmp_path / name)
        assert (place.kind, place.path) == (kind, tmp_path / name)


@pytest.mark.parametrize(
    ("files", "runs", "trains"),
    [
        ([SPARSE_FILE], "sparse", "sparse"),
        ([ONNX_FILE], "onnx", "onnx"),
        ([SPARSE_FILE, ONNX_FILE, "config.json"], "sparse", "sparse"),
        ([SPARSE_FILE, ONNX_FILE, "config.json", "model.safetensors"], "sparse", "hugging_face"),
        ([ONNX_FILE, "config.json", "model.safetensors"], "hugging_face", "hugging_face"),
        ([ONNX_FILE, "config.json"], "onnx", "onnx"),
        (["config.json", "model.safetensors.index.json"], "hugging_face", "hugging_face"),
        (["config.json", "pytorch_model.bin"], "hugging_face", "hugging_face"),
        # What is missing there, transformers tells.
        (["config.json"], "hugging_face", "hugging_face"),
    ],
)
def test_a_folder_is_taken_for_what_runs_or_for_what_trains(
    tmp_path: Path, files: list[str], runs: str, trains: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert find_place(tmp_path).kind == runs
    assert find_place(str(tmp_path), trainable=True).kind == trains


def test_what_is_no_model_is_told_with_all_that_would_be(tmp_path: Path) -> None:
    (tmp_path / "m.bin").touch()
    for name, message in (
        ("gone", "gone does not exist; give an .onnx file, a sparse Gossamer file, a folder that"),
        ("m.bin", "no kind of model"),
        ("", r"holds no model: it has no config\.json .* and no model\.onnx"),
    ):
        with pytest.raises(ModelError, match=message):
            find_place(tmp_path / name)
