"""Modules that come wrapped, with computed weights or without any are pruned as the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from gossamer.errors import DataError, ModelError
from gossamer.models import open_model
from gossamer.models.torch_forms import copied, unwrapped
from gossamer.pruning import sparsify


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )


X = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        torch.compile,
        lambda model: nn.DataParallel(torch.compile(model)),
    ],
)
def test_a_wrapper_is_looked_through(wrap: Callable[[nn.Module], Any]) -> None:
    wrapped = wrap(network())
    result = sparsify(wrapped, X, sparsity=0.5)
    assert [layer.name for layer in result.layers] == ["2"] and result.sparsity == 0.5
    assert type(result.model) is nn.Sequential


class Scaled(nn.Module):
    """Looks like a wrapper, but computes something of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.module = network()

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.module(x)


def test_a_module_of_one_child_is_no_wrapper_by_its_name() -> None:
    model = Scaled()
    assert unwrapped(model) is model


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, **given: Tensor) -> Tensor:
        return self.net(given["x"])


def test_inputs_of_any_name_are_given_by_name() -> None:
    assert sparsify(Named(), {"x": X}, sparsity=0.5).sparsity == 0.5
    with pytest.raises(DataError, match=r"\*\*kwargs"):
        sparsify(Named(), X, sparsity=0.5)


def pruned(layer: nn.Linear) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(layer, "bias", 0.5)
    return layer


COMPUTED: list[Callable[[nn.Linear], nn.Module]] = [
    pruned,
    weight_norm,
    spectral_norm,
    parametrizations.weight_norm,
    parametrizations.spectral_norm,
    parametrizations.orthogonal,
]


@pytest.mark.parametrize("compute", COMPUTED)
@pytest.mark.parametrize("training", [False, True])
def test_computed_weights_are_pruned_as_what_they_are(
    compute: Callable[[nn.Linear], nn.Module], training: bool, tmp_path: Path
) -> None:
    model = network()
    model[2] = compute(model[2])
    model.train()(torch.from_numpy(X))
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapter = open_model(model)
    assert [layer.name for layer in adapter.layers()] == ["0", "2", "4"]
    (note,) = adapter.notes()
    assert "'2'" in note and "computed at every call" in note
    result = sparsify(model, {"input": X}, sparsity=0.5)
    assert [(layer.name, layer.sparsity) for layer in result.layers] == [("2", 0.5)]
    assert note in result.notes
    # The given module is as it was, and goes on computing its weights.
    assert model.training == training and model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(X))
        torch.testing.assert_close(adapter.copy().model(torch.from_numpy(X)), expected)


@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm])
def test_a_recurrent_layer_s_computed_weights_are_the_ones_that_it_runs_with(norm: Any) -> None:
    model = norm(nn.LSTM(4, 6), "weight_hh_l0")
    x = torch.randn(5, 2, 4)
    expected = model(x)[0].detach()
    plain = open_model(model).model
    assert "weight_hh_l0" in dict(plain.named_parameters())
    with torch.no_grad():
        torch.testing.assert_close(plain(x)[0], expected)
        plain.weight_hh_l0.zero_()
        assert not torch.allclose(plain(x)[0], expected)


class Keeping(nn.Module):
    """Keeps what it computed last, with how it was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.last: dict[str, list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.last["hidden"] = [self.net(x)]
        return self.last["hidden"][0]


def test_a_module_that_keeps_its_last_results_is_copied() -> None:
    model = Keeping()
    model(torch.from_numpy(X))
    copy = copied(model)
    assert torch.equal(copy.last["hidden"][0], model.last["hidden"][0])
    assert copy.net[0].weight is not model.net[0].weight
    assert model.last["hidden"][0].grad_fn is not None
    assert sparsify(model, {"x": X}, sparsity=0.5).sparsity == 0.5


def test_weights_that_are_not_there_are_named_with_the_remedy() -> None:
    lazy = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 8))
    with pytest.raises(ModelError, match=r"'0.weight' has no values yet.*run one through"):
        sparsify(lazy, X, sparsity=0.5)
    lazy(torch.from_numpy(X))
    assert sparsify(lazy, X, sparsity=0.5).sparsity == 0.5
    with pytest.raises(ModelError, match="meta device"):
        sparsify(network().to("meta"), X, sparsity=0.5)
    with pytest.raises(ModelError, match="TorchScript"):
        sparsify(torch.jit.trace(network(), torch.from_numpy(X)), X, sparsity=0.5)


def test_a_frozen_module_stays_frozen_and_the_given_one_untouched() -> None:
    model = network().train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    result = sparsify(model, X, sparsity=0.5)
    assert model.training
    assert not any(parameter.requires_grad for parameter in result.model.parameters())


def test_an_adapter_stays_dense_and_a_merge_is_warned_of() -> None:
    peft = pytest.importorskip("peft")
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
    )
    adapted = peft.get_peft_model(BertModel(config), peft.LoraConfig(r=2, target_modules=["query"]))
    ids = np.random.default_rng(0).integers(0, 40, (16, 6))
    result = sparsify(adapted, {"input_ids": ids}, sparsity=0.5)
    assert not any("lora" in layer.name for layer in result.layers)
    assert sum("query" in layer.name for layer in result.layers) == 1
    assert any("carry adapters" in note for note in result.notes)
    assert isinstance(result.model, peft.PeftModel)
    merged = sparsify(adapted.merge_and_unload(), {"input_ids": ids}, sparsity=0.5)
    assert not any("adapters" in note for note in merged.notes)


def test_an_adapter_s_directory_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="merge_and_unload"):
        open_model(tmp_path)
