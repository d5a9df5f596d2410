from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from gossamer.errors import ModelError
from gossamer.models import open_model


def test_each_kind_of_path_is_opened(
    tmp_path: Path, cnn: torch.nn.Module, bert: torch.nn.Module, onnx_cnn: onnx.ModelProto
) -> None:
    onnx.save(onnx_cnn, tmp_path / "m.onnx")
    bert.save_pretrained(tmp_path / "bert")
    torch.export.save(torch.export.export(cnn, (torch.randn(2, 3, 9, 8),)), tmp_path / "m.pt2")
    (tmp_path / "m.py").write_text("import torch\ndef make():\n    return torch.nn.Linear(3, 2)\n")
    kinds = [open_model(tmp_path / name).kind for name in ("m.onnx", "bert", "m.pt2", "m.py:make")]
    assert kinds == ["onnx", "hugging_face", "exported", "torch"]


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def fails():\n    raise ValueError('no weights')\ndef text():\n    return 'x'\n"
        "def ends():\n    raise SystemExit(0)\n"
    )
    (tmp_path / "m.bin").write_text("")
    (tmp_path / "m.onnx").write_text("not onnx")
    for name, message in (
        ("gone.onnx", "does not exist"),
        ("m.bin", "no kind of model"),
        ("m.onnx", r"m\.onnx"),
        ("m.py:fails", "ValueError: no weights"),
        ("m.py:text", "is a str"),
        ("m.py:ends", "SystemExit: 0"),
        (".", "no config.json"),
    ):
        with pytest.raises(ModelError, match=message):
            open_model(tmp_path / name)
