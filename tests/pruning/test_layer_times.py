"""Finding a module's layers in its ONNX export, and timing layers within a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from gossamer.models import open_model
from gossamer.models.onnx_layers import OnnxLayer, find_layers, name_uses
from gossamer.pruning.layer_times import layer_seconds, match_layers, matrix, zero_weights
from gossamer.runtime import compile


def exported(model: nn.Module, folder: Path, **example: Any) -> onnx.ModelProto:
    open_model(model).export_onnx(folder / "model.onnx", example)
    return onnx.load(folder / "model.onnx")


def matched(model: nn.Module, graph: onnx.ModelProto) -> dict[str, list[OnnxLayer]]:
    adapter = open_model(model)
    weights = {layer.name: adapter.weight(layer.name).numpy() for layer in adapter.layers()}
    return match_layers(weights, find_layers(graph))


def test_linear_layers_are_found_transposed_or_not(network: nn.Module, tmp_path: Path) -> None:
    graph = exported(network, tmp_path, input=np.ones((2, 12), np.float32))
    found = matched(network, graph)
    for name in ("0", "2", "4", "6"):
        ((layer),) = found[name]
        np.testing.assert_array_equal(matrix(layer), network[int(name)].weight.detach().numpy())


def test_convolutions_are_found_though_their_batch_norm_was_folded_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8),
    ).eval()  # fmt: skip
    for norm in (cnn[1], cnn[4]):
        nn.init.normal_(norm.weight)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    graph = exported(cnn, tmp_path, input=np.ones((2, 3, 9, 9), np.float32))
    first, second = find_layers(graph)
    assert not np.allclose(matrix(first), cnn[0].weight.detach().numpy().reshape(8, -1))
    found = matched(cnn, graph)
    assert [layer.layer.name for layer in found["0"]] == [first.layer.name]
    assert [layer.layer.name for layer in found["3"]] == [second.layer.name]


def test_half_precision_weights_are_found(network: nn.Module, tmp_path: Path) -> None:
    graph = exported(network.half(), tmp_path, input=np.ones((2, 12), np.float32))
    assert all(len(found) == 1 for found in matched(network, graph).values())


class Shared(nn.Module):
    """One layer used twice, and two layers that are alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(12, 12)
        self.twin, self.other = nn.Linear(12, 12), nn.Linear(12, 12)
        self.other.load_state_dict(self.twin.state_dict())

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        hidden = self.shared(self.shared(input).relu()).relu()
        return self.other(self.twin(hidden).relu())


def test_a_shared_layer_has_all_its_uses_and_twins_have_one_each(tmp_path: Path) -> None:
    model = Shared().eval()
    graph = name_uses(exported(model, tmp_path, input=np.ones((2, 12), np.float32)))
    found = matched(model, graph)
    uses = {name: sum(len(layer.uses) for layer in layers) for name, layers in found.items()}
    assert uses["shared"] == 2
    # Where the exporter kept both, each has its own; where it joined them, one stands for both.
    assert uses["twin"] + uses["other"] == 2


def test_a_layer_of_another_model_is_not_found(network: nn.Module, tmp_path: Path) -> None:
    graph = exported(network, tmp_path, input=np.ones((2, 12), np.float32))
    stranger = np.random.default_rng(0).standard_normal((24, 24)).astype(np.float32)
    assert match_layers({"stranger": stranger}, find_layers(graph)) == {"stranger": []}


def test_only_the_layers_named_get_zeros(network: nn.Module, tmp_path: Path) -> None:
    graph = exported(network, tmp_path, input=np.ones((2, 12), np.float32))
    names = [layer.layer.name for layer in find_layers(graph)]
    pruned = zero_weights(graph, names[1:2], lambda sizes: sizes > np.median(sizes))
    before, after = find_layers(graph), find_layers(pruned)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if index != 1:
            np.testing.assert_array_equal(matrix(old), matrix(new))
            continue
        expected = np.where(np.abs(matrix(old)) > np.median(np.abs(matrix(old))), matrix(old), 0)
        np.testing.assert_array_equal(matrix(new), expected)


def test_seconds_add_up_over_the_uses_of_a_layer(tmp_path: Path) -> None:
    class Lines:
        """A session whose times are known."""

        def explain(self, feeds: Any) -> list[Any]:
            from gossamer.runtime import Explanation

            return [
                Explanation("a", "MatMul", "dense", sparsity=0.0, seconds=1.0),
                Explanation("a", "Add", "pointwise", seconds=0.5),
                Explanation("b", "MatMul", "sparse", sparsity=0.5, seconds=2.0),
                Explanation("c", "MatMul", "ONNX Runtime", seconds=4.0),
            ]

    layers, rest = layer_seconds(Lines(), {}, [["a", "b"], ["c"], []])  # type: ignore[arg-type]
    assert layers == (3.0, None, None) and rest == pytest.approx(4.5)


def test_every_layer_of_a_compiled_module_has_a_time(network: nn.Module, tmp_path: Path) -> None:
    feeds = {"input": np.ones((8, 12), np.float32)}
    graph = name_uses(exported(network, tmp_path, **feeds))
    found = matched(network, graph)
    nodes = [[use.node.name for one in layers for use in one.uses] for layers in found.values()]
    with compile(graph, threads=1, engine="gossamer") as session:
        layers, rest = layer_seconds(session, feeds, nodes)
    assert all(seconds is not None and seconds > 0 for seconds in layers) and rest >= 0
