"""What a model gives for its batches, by its module and by its ONNX file; and its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from gossamer.errors import DataError
from gossamer.models import open_model


def test_the_outputs_are_those_of_forward(cnn: nn.Module, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    batches = [{"pixels": pixels[:3]}, {"pixels": pixels[3:]}]
    with torch.no_grad():
        expected = cnn(torch.from_numpy(pixels))
    adapter = open_model(cnn)
    adapter.export_onnx(tmp_path / "cnn.onnx", batches[0])
    for one in (adapter.copy(), open_model(tmp_path / "cnn.onnx")):
        found = list(one.outputs(batches))
        assert [len(outputs) for outputs in found] == [1, 1]
        torch.testing.assert_close(
            torch.cat([outputs[0] for outputs in found]), expected, rtol=1e-4, atol=1e-5
        )


def test_of_a_transformer_they_are_the_hidden_states_without_padding(
    bert: nn.Module, tokens: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    adapter = open_model(bert)
    adapter.export_onnx(tmp_path / "bert.onnx", tokens)
    ((hidden,),) = adapter.copy().outputs([tokens])
    assert hidden.shape == (tokens["attention_mask"].sum(), 16)
    ((other,),) = open_model(tmp_path / "bert.onnx").outputs([tokens])
    torch.testing.assert_close(other, hidden, rtol=1e-3, atol=1e-4)


def test_a_batch_that_does_not_run_is_named(cnn: nn.Module) -> None:
    with pytest.raises(DataError, match="batch 1 does not run"):
        list(open_model(cnn).copy().outputs([{"pixels": np.ones((2, 5), np.float32)}]))


def test_a_digest_changes_with_any_weight(cnn: nn.Module, tmp_path: Path) -> None:
    adapter = open_model(cnn)
    before = adapter.digest()
    assert adapter.copy().digest() == before
    pixels = {"pixels": np.ones((2, 3, 8, 8), np.float32)}
    adapter.export_onnx(tmp_path / "cnn.onnx", pixels)
    model = onnx.load(tmp_path / "cnn.onnx")
    graph = open_model(model).digest()
    assert open_model(model).copy().digest() == graph
    with torch.no_grad():
        cnn.stem.bias[0] += 1
    assert adapter.digest() != before
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    assert open_model(model).digest() != graph


def test_a_layer_says_its_kernel_and_the_size_of_its_weights(
    cnn: nn.Module, tmp_path: Path
) -> None:
    open_model(cnn).export_onnx(tmp_path / "m.onnx", {"pixels": np.ones((2, 3, 8, 8), np.float32)})
    for adapter in (open_model(cnn), open_model(tmp_path / "m.onnx")):
        assert [layer.kernel for layer in adapter.layers()] == [(3, 3)] * 3 + [(1, 1), ()]
        assert {layer.itemsize for layer in adapter.layers()} == {4}
    assert {layer.itemsize for layer in open_model(cnn.half()).layers()} == {2}
