from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from gossamer.errors import DataError, ModelError, OutputError
from gossamer.models import open_model

Arrays = dict[str, np.ndarray[Any, Any]]


def exported(model: Any, path: Path, example: Arrays) -> onnxruntime.InferenceSession:
    open_model(model).export_onnx(path, example)
    return onnxruntime.InferenceSession(path)


def shapes(values: Any) -> dict[str, list[Any]]:
    return {value.name: value.shape for value in values}


@pytest.mark.parametrize("types", [False, True])
def test_a_transformer_takes_any_batch_and_length(
    bert: nn.Module, tokens: Arrays, tmp_path: Path, types: bool
) -> None:
    if types:
        tokens["token_type_ids"] = np.zeros_like(tokens["input_ids"])
    session = exported(bert, tmp_path / "bert.onnx", tokens)
    assert shapes(session.get_inputs()) == {name: ["batch", "sequence"] for name in tokens}
    assert shapes(session.get_outputs()) == {"last_hidden_state": ["batch", "sequence", 16]}
    for samples, length in ((1, 3), (4, 8), (3, 1)):
        feeds = {name: array[:samples, :length] for name, array in tokens.items()}
        with torch.no_grad():
            expected = bert(**{name: torch.from_numpy(array) for name, array in feeds.items()})
        np.testing.assert_allclose(
            session.run(None, feeds)[0], expected.last_hidden_state, rtol=1e-4, atol=1e-5
        )


def test_a_head_gives_its_logits(tokens: Arrays, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, num_labels=8
    )
    session = exported(BertForSequenceClassification(config).eval(), tmp_path / "m.onnx", tokens)
    # As many classes as the example has positions: the axis must not be taken for the sequence.
    assert shapes(session.get_outputs()) == {"logits": ["batch", 8]}


def test_a_cnn_keeps_its_geometry_and_argument_name(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    session = exported(cnn, tmp_path / "cnn.onnx", pixels)
    assert shapes(session.get_inputs()) == {"pixels": ["batch", 3, 9, 8]}
    assert shapes(session.get_outputs()) == {"output": ["batch", 4]}
    with torch.no_grad():
        expected = cnn(torch.from_numpy(pixels["pixels"]))
    np.testing.assert_allclose(session.run(None, pixels)[0], expected, rtol=1e-4, atol=1e-5)


def test_half_precision_is_exported_as_float32_and_the_model_left_alone(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    session = exported(cnn.bfloat16(), tmp_path / "cnn.onnx", pixels)
    assert session.get_inputs()[0].type == "tensor(float)"
    assert next(cnn.parameters()).dtype == torch.bfloat16


class Several(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"double": x * 2, "total": x.sum(1)}


def test_outputs_bear_the_model_s_own_keys(tmp_path: Path) -> None:
    session = exported(Several(), tmp_path / "m.onnx", {"x": np.ones((1, 3), np.float32)})
    assert shapes(session.get_outputs()) == {"double": ["batch", 3], "total": ["batch"]}


def test_export_is_silent(
    bert: nn.Module, tokens: Arrays, tmp_path: Path, capfd: Any, recwarn: Any
) -> None:
    open_model(bert).export_onnx(tmp_path / "bert.onnx", tokens)
    assert capfd.readouterr() == ("", "") and not recwarn.list


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x)[1]


def test_what_goes_wrong_is_said_and_leaves_no_file(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="cannot be exported"):
        open_model(Untraceable()).export_onnx(tmp_path / "m.onnx", {"x": np.eye(3, dtype="f4")})
    with pytest.raises(DataError, match="example inputs do not run"):
        open_model(cnn).export_onnx(tmp_path / "m.onnx", {"pixels": np.ones((2, 2), "f4")})
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot write"):
        open_model(cnn).export_onnx(tmp_path / "no" / "m.onnx", pixels)
