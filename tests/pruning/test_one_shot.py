from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from gossamer.models import Layer, ModelAdapter, open_model
from gossamer.models.selection import choose_layers
from gossamer.progress import showing
from gossamer.pruning.one_shot import group_layers, prune
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import get_solver
from gossamer.sparsity.statistics import LayerStatistics

unstructured = get_pattern("unstructured")


def half(layers: Sequence[Layer]) -> dict[str, Choice]:
    return {layer.name: Choice(unstructured, 0.5) for layer in layers}


@pytest.fixture
def perceptron() -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))


def test_layers_of_a_block_are_calibrated_together_and_others_alone() -> None:
    layers = [
        Layer(name, "linear", 2, 2, block=block)
        for name, block in (("a", None), ("b", None), ("c", "x.0"), ("d", "x.0"), ("e", "x.1"))
    ]
    assert group_layers(layers) == [["a"], ["b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize("solver", ["magnitude", "wanda", "obs"])
def test_each_layer_is_solved_with_the_inputs_that_the_sparse_layers_before_give(
    perceptron: nn.Module, solver: str
) -> None:
    x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    dense, sparse = open_model(perceptron), open_model(perceptron).copy()
    layers = choose_layers(dense.layers(), r"\d")
    with showing(False) as progress:
        results = prune(sparse, [{"input": x}], layers, half(layers), get_solver(solver), progress)
    hidden = torch.from_numpy(x)
    for layer, result in zip(layers, results, strict=True):
        statistics = LayerStatistics(layer.name, layer.columns)
        statistics.update(hidden)
        expected, *_ = get_solver(solver).solve(
            dense.weight(layer.name), statistics, unstructured, 0.5
        )
        torch.testing.assert_close(sparse.weight(layer.name), expected, rtol=1e-4, atol=1e-5)
        assert (result.name, result.zeros, result.sparsity) == (layer.name, layer.weights // 2, 0.5)
        with torch.no_grad():
            hidden = sparse.model[int(layer.name)](hidden).relu()


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


@pytest.mark.parametrize("solver", ["admm", "obs"])
def test_a_layer_that_the_data_never_reaches_goes_by_size_and_is_named(solver: str) -> None:
    dense = open_model(Unused())
    adapter = dense.copy()
    batches = [{"x": np.ones((2, 3), np.float32)}]
    layers = adapter.layers()
    with showing(False) as progress:
        prune(adapter, batches, layers, half(layers), get_solver(solver), progress, dense)
    kept = adapter.weight("unused") != 0
    sizes = dense.weight("unused").abs()
    assert kept.sum() == 5 and sizes[kept].min() >= sizes[~kept].max()
    assert ["'unused'" in note for note in dense.notes()] == [True]


def test_a_layer_that_the_plan_leaves_out_stays_as_it_is(perceptron: nn.Module) -> None:
    dense, sparse = open_model(perceptron), open_model(perceptron).copy()
    layers = dense.layers()
    batches = [{"input": np.ones((4, 6), np.float32)}]
    with showing(False) as progress:
        results = prune(sparse, batches, layers, half(layers[:1]), get_solver("obs"), progress)
    assert [layer.sparsity for layer in results] == [0.5, 0.0, 0.0]
    for layer in layers[1:]:
        assert torch.equal(sparse.weight(layer.name), dense.weight(layer.name))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.second = nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.first(x).relu())


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_solver_that_aims_makes_up_for_what_earlier_layers_lost(
    tmp_path: Path, kind: str
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(*(Block() for _ in range(4))).eval()
    x = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    seen, unseen = {"input": x[:200]}, {"input": x[200:]}
    source: Any = module
    if kind == "onnx":
        source = tmp_path / "model.onnx"
        open_model(module).export_onnx(source, seen)

    def run(model: ModelAdapter) -> np.ndarray[Any, Any]:
        path = tmp_path / "now.onnx"
        model.export_onnx(path, seen)
        return np.asarray(onnxruntime.InferenceSession(path).run(None, unseen)[0])

    def distance(dense: ModelAdapter | None) -> float:
        sparse = open_model(source).copy()
        layers = sparse.layers()
        with showing(False) as progress:
            prune(sparse, [seen], layers, half(layers), get_solver("admm"), progress, dense)
        return float(np.square(run(sparse) - run(open_model(source))).mean())

    assert distance(open_model(source).copy()) < 0.8 * distance(None)


def test_batch_normalisation_moves_by_what_pruning_changed() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    x = torch.randn(200, 6)
    module.train()(x)
    sparse = open_model(module.eval()).copy()
    layers = sparse.layers()
    batches = [{"input": x[:100].numpy()}, {"input": x[100:].numpy()}, {"input": x[:1].numpy()}]
    with showing(False) as progress:
        dense = open_model(module).copy()
        prune(sparse, batches, layers, half(layers), get_solver("magnitude"), progress, dense)
    moved = (sparse.model[0](x) - module[0](x)).detach().mean(0)
    expected = module[1].running_mean + moved
    torch.testing.assert_close(sparse.model[1].running_mean, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(sparse.model[1].running_var, module[1].running_var, rtol=0.05)


@pytest.mark.parametrize(("samples", "sparsity"), [(31, 0.5), (200, 0.0)])
def test_too_few_samples_or_nothing_gone_leave_batch_normalisation_as_it_was(
    samples: int, sparsity: float
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.Linear(32, 3))
    x = torch.randn(200, 6)
    module.train()(x)
    sparse = open_model(module.eval()).copy()
    layers = sparse.layers()
    plan = {layer.name: Choice(unstructured, sparsity) for layer in layers}
    batches = [{"input": x[:samples].numpy()}]
    with showing(False) as progress:
        dense = open_model(module).copy()
        prune(sparse, batches, layers, plan, get_solver("magnitude"), progress, dense)
    assert torch.equal(sparse.model[1].running_mean, module[1].running_mean)
