"""Where the time goes, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from gossamer.verbs.advise import prune_graph
from gossamer.verbs.layer_comparison import compare_layers

FEEDS = {"x": np.ones((4, 64), np.float32)}


def test_each_layer_has_its_sparsity_and_its_time_in_both_models(small_onnx: Path) -> None:
    dense = onnx.load(small_onnx)
    layers, rest = compare_layers(dense, prune_graph(dense, 0.75), FEEDS, 1)
    assert [(layer.name, layer.weights) for layer in layers] == [
        ("hidden_layer", 8192),
        ("output_layer", 1280),
    ]
    for layer in layers:
        assert layer.sparsity == pytest.approx(0.75, abs=0.01)
        assert layer.dense_seconds is not None
        assert layer.sparse_seconds is not None
        assert layer.dense_seconds > 0
    assert rest is not None
    assert min(rest) >= 0


def test_models_of_other_layers_are_not_compared(small_onnx: Path) -> None:
    dense = onnx.load(small_onnx)
    other = onnx.load(small_onnx)
    del other.graph.node[1:]
    other.graph.output[0].name = "hidden"
    other.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 128
    assert compare_layers(dense, other, FEEDS, 1) == ((), None)
