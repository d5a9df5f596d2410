from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gossamer.errors import DataError, ModelError
from gossamer.models import open_model
from gossamer.models.selection import default_layers
from gossamer.models.torch_model import TorchModel

Arrays = dict[str, np.ndarray[Any, Any]]


def captured(adapter: Any, batches: list[Arrays], names: list[str]) -> dict[str, Tensor]:
    pieces: dict[str, list[Tensor]] = defaultdict(list)
    adapter.capture(batches, names, lambda name, inputs: pieces[name].append(inputs))
    return {name: torch.cat(parts, dim=-2) for name, parts in pieces.items()}


def test_layers_of_a_cnn_in_order_with_their_matrix_shapes(cnn: nn.Module) -> None:
    layers = open_model(cnn).layers()
    assert [(layer.name, layer.rows, layer.columns, layer.groups) for layer in layers] == [
        ("stem", 8, 27, 1),
        ("grouped", 12, 36, 2),
        ("depthwise", 12, 9, 12),
        ("pointwise", 6, 12, 1),
        ("classifier", 4, 6, 1),
    ]
    assert [layer.name for layer in default_layers(layers)] == ["grouped", "pointwise"]


def test_a_transformer_s_default_layers_are_those_of_its_blocks(bert: nn.Module) -> None:
    adapter = open_model(bert)
    chosen = default_layers(adapter.layers())
    assert len(chosen) == 18 and len([each for each in adapter.layers() if each.gain]) == 19
    assert {layer.block for layer in chosen} == {f"encoder.layer.{n}" for n in range(3)}


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_go_out_as_float32_and_come_back_in_the_model_s_precision(
    cnn: nn.Module, precision: torch.dtype
) -> None:
    adapter = open_model(cnn.to(precision)).copy()
    for layer in adapter.layers():
        weight = adapter.weight(layer.name)
        assert weight.shape == (layer.rows, layer.columns) and weight.dtype == torch.float32
        adapter.set_weight(layer.name, weight * 2)
        assert torch.equal(adapter.weight(layer.name), weight * 2)
    assert {parameter.dtype for parameter in adapter.model.parameters()} == {precision}


def test_a_copy_is_independent_and_in_eval_mode(cnn: nn.Module) -> None:
    cnn.train()
    adapter = open_model(cnn).copy()
    adapter.set_weight("stem", torch.zeros(8, 27))
    assert cnn.stem.weight.count_nonzero() > 0 and cnn.training
    assert not adapter.model.training


def test_captured_inputs_times_the_weight_are_the_layer_s_outputs(
    cnn: nn.Module, pixels: Arrays
) -> None:
    adapter = open_model(cnn)
    names = [layer.name for layer in adapter.layers()]
    outputs: dict[str, Tensor] = {}
    for name in names:
        cnn.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: outputs.__setitem__(name, output)
        )
    with torch.no_grad():
        cnn(torch.from_numpy(pixels["pixels"]))
    inputs = captured(adapter.copy(), [pixels], names)
    for layer in adapter.layers():
        weight = adapter.weight(layer.name)
        bias = cnn.get_submodule(layer.name).bias
        grouped = inputs[layer.name].reshape(layer.groups, -1, layer.columns)
        product = grouped @ weight.reshape(layer.groups, -1, layer.columns).transpose(1, 2)
        flat = torch.cat(list(product), dim=1) + (0 if bias is None else bias)
        expected = outputs[layer.name]
        if expected.ndim == 4:
            expected = expected.permute(0, 2, 3, 1).reshape(-1, layer.rows)
        torch.testing.assert_close(flat, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_one_dimensional_convolutions_are_unfolded_too(padding: Any) -> None:
    model = nn.Conv1d(4, 6, 3, padding=padding, dilation=2, groups=2)
    x = torch.randn(2, 4, 11)
    adapter = TorchModel(nn.Sequential(model))
    inputs = captured(adapter.copy(), [{"input": x.numpy()}], ["0"])["0"]
    product = inputs @ adapter.weight("0").reshape(2, 3, 6).transpose(1, 2)
    flat = torch.cat(list(product), dim=1) + model.bias
    expected = model(x).permute(0, 2, 1).reshape(-1, 6)
    torch.testing.assert_close(flat, expected, rtol=1e-4, atol=1e-5)


def test_padding_is_left_out_of_token_inputs_but_not_of_the_pooler_s(
    bert: nn.Module, tokens: Arrays
) -> None:
    names = ["encoder.layer.1.output.dense", "pooler.dense"]
    inputs = captured(open_model(bert).copy(), [tokens], names)
    assert len(inputs[names[0]]) == tokens["attention_mask"].sum()
    assert len(inputs["pooler.dense"]) == 10


class Tied(nn.Module):
    """One module called twice, and a second one that has the first's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.shared.weight

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.tied(self.again(self.shared(x))))


def test_shared_and_tied_weights_are_one_layer_that_sees_all_its_inputs() -> None:
    adapter = open_model(Tied()).copy()
    assert [layer.name for layer in adapter.layers()] == ["shared"]
    inputs = captured(adapter, [{"x": np.ones((5, 4), np.float32)}], ["shared"])
    assert len(inputs["shared"]) == 15


def test_the_conv1d_of_transformers_is_a_transposed_linear_layer() -> None:
    from transformers.pytorch_utils import Conv1D

    model = Conv1D(6, 4)
    nn.init.normal_(model.weight)
    adapter = open_model(nn.Sequential(model))
    (layer,) = adapter.layers()
    assert (layer.rows, layer.columns) == (6, 4)
    assert torch.equal(adapter.weight("0"), model.weight.T)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    inputs = captured(adapter, [{"input": x}], ["0"])["0"]
    torch.testing.assert_close(inputs @ adapter.weight("0").T + model.bias, model(torch.tensor(x)))
    adapter.set_weight("0", torch.zeros(6, 4))
    assert model.weight.count_nonzero() == 0


def test_pytorch_s_own_encoder_is_seen_in_spite_of_its_fused_path() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    adapter = open_model(nn.TransformerEncoder(block, 2)).copy()
    names = [layer.name for layer in adapter.layers()]
    assert names == [f"layers.{n}.linear{k}" for n in range(2) for k in (1, 2)]
    x = np.random.default_rng(0).standard_normal((3, 5, 8)).astype(np.float32)
    assert set(captured(adapter, [{"src": x}], names)) == set(names)


def test_a_compiled_module_is_opened_as_what_it_was(cnn: nn.Module) -> None:
    assert open_model(torch.compile(cnn)).model is cnn


def test_a_batch_that_does_not_run_is_named(bert: nn.Module, cnn: nn.Module) -> None:
    batches = [{"input_ids": np.array([[1, 2]])}, {"input_ids": np.array([[1, 99]])}]
    adapter = open_model(bert).copy()
    with pytest.raises(DataError, match="batch 2 does not run"):
        captured(adapter, batches, ["encoder.layer.0.output.dense"])
    with pytest.raises(DataError, match="batch 1 does not run"):
        captured(open_model(cnn), [{"pixels": np.zeros((2, 5, 9, 9), np.float32)}], ["stem"])


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="is a dict"):
        open_model({"weight": 1})


def test_the_whole_model_s_weights_are_counted_once() -> None:
    model = Tied()
    with torch.no_grad():
        model.shared.weight[0] = 0
        model.shared.bias[:] = 1
    assert open_model(model).count_weights() == (20, 4)


def test_a_bias_that_two_layers_share_is_nobody_s_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    model[1].bias = model[0].bias
    assert [layer.bias for layer in open_model(model).layers()] == [False, False, True, True]


def test_a_tied_weight_with_two_biases_has_none_to_change() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3, bias=False))
    model[1].weight = model[0].weight
    assert [layer.bias for layer in open_model(model).layers()] == [False, False]


class Mixed(nn.Module):
    """Weights of many kinds, of which those of the attention are in no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.rnn = nn.LSTM(4, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.experts = nn.Parameter(torch.randn(3, 6, 6))
        self.volume = nn.Conv3d(1, 2, 3)
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 9, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.rnn(self.table(ids))[0]
        return self.head(self.hidden(self.attention(states, states, states)[0]).relu())


def test_every_weight_is_in_a_layer_or_told_as_left_out() -> None:
    adapter = open_model(Mixed())
    left = adapter.left_out()
    assert [layer.name for layer in adapter.layers() if layer.gain] == ["hidden", "head"]
    assert {(one.name, one.kind) for one in left} == {
        ("attention.in_proj_weight", "MultiheadAttention"),
        ("attention.out_proj.weight", "NonDynamicallyQuantizableLinear"),
    }
    matrices = sum(p.numel() for p in adapter.model.parameters() if p.ndim > 1)
    told = sum(layer.weights for layer in adapter.layers()) + sum(one.weights for one in left)
    assert told == matrices


def test_a_tied_table_is_its_linear_layer_and_not_left_out() -> None:
    model = Mixed()
    model.head = nn.Linear(4, 9, bias=False)
    model.head.weight = model.table.weight
    adapter = open_model(model)
    assert "head" in [layer.name for layer in adapter.layers()]
    assert "table.weight" not in [one.name for one in adapter.left_out()]
