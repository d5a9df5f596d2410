"""What layers cost: counted, computed as the file's bytes, and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gossamer.errors import ModelError, OptionError
from gossamer.formats import save
from gossamer.models import Layer, open_model
from gossamer.progress import showing
from gossamer.pruning import measured_costs
from gossamer.pruning.costs import Bytes, Weights, checked_objective, figures, total
from gossamer.pruning.database import levels_of
from gossamer.pruning.folder import Folder
from gossamer.pruning.measured_costs import (
    Measured,
    falling_fit,
    measure,
    one_sample,
)
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.patterns import get_pattern

optimize = pytest.importorskip("scipy.optimize")

unstructured, block = get_pattern("unstructured"), get_pattern("block:4x1")
levels = levels_of([unstructured], (0.5, 0.9))
layers = [Layer("a", "linear", 100, 80), Layer("b", "linear", 50, 40)]
nonzeros = {"a": 8000, "b": 300}


def test_weights_are_counted_and_zeros_that_were_there_cost_nothing() -> None:
    costs = Weights(layers, nonzeros)
    assert total(costs, ["a", "b"], {}) == 8300
    assert costs.layer("a", Choice(unstructured, 0.75)) == 2000
    assert costs.layer("b", Choice(unstructured, 0.5)) == 300
    assert costs.layer("b", Choice(unstructured, 0.9)) == 200


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((100, 80)).astype(np.float32)
    costs = Bytes(layers, nonzeros, others=7)
    sizes = {}
    for sparsity in (0.0, 0.01, 0.5, 0.9):
        sparse = weight.copy()
        sparse.ravel()[: round(sparsity * 8000)] = 0
        save({"a": sparse}, tmp_path / "file")
        sizes[sparsity] = (tmp_path / "file").stat().st_size
        ours = costs.layer("a", Choice(unstructured, sparsity))
        # The container's own header is a few hundred bytes.
        assert 0 < sizes[sparsity] - ours < 700
    assert costs.layer("a", None) == 4 * 8000 and costs.rest == 28


def test_half_precision_takes_half_the_bytes() -> None:
    half = Layer("a", "linear", 100, 80, itemsize=2)
    assert Bytes([half], {"a": 8000}, 0).layer("a", None) == 2 * 8000


@given(values=st.lists(st.floats(0, 10), max_size=8))
def test_the_falling_fit_is_isotonic_regression(values: list[float]) -> None:
    found = falling_fit(np.array(values))
    assert len(found) == len(values) and (np.diff(found) <= 1e-12).all()
    if values:
        expected = optimize.isotonic_regression(values, increasing=False).x
        np.testing.assert_allclose(found, expected, atol=1e-9)


def measured(model: nn.Module, folder: Folder | None = None, objective: Any = "energy") -> Measured:
    adapter = open_model(model)
    example = {"input": np.ones((16, 12), np.float32)}
    with showing(False) as progress:
        return measure(adapter, adapter.layers(), levels, example, objective, 1, folder, progress)


def test_every_layer_and_level_is_timed(network: nn.Module) -> None:
    costs = measured(network)
    assert costs.objective == "energy" and costs.rest >= 0 and not costs.notes
    for name in ("0", "2", "4", "6"):
        dense = costs.layer(name, None)
        half, most = (costs.layer(name, level) for level in levels)
        assert 0 < most <= half <= dense < 1
        between = costs.layer(name, Choice(unstructured, 0.7))
        assert most <= between <= half
    assert figures(costs, 2.0) == {"cpu_seconds": 2.0, "joules": 10.0}
    assert figures(measured(network, objective="latency"), 2.0) == {"latency_seconds": 2.0}


def test_measured_costs_are_kept_and_found_again(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "job", {})
    first = measured(network, folder)

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(measured_costs, "_measure", never)
    assert measured(network, folder) == first
    with pytest.raises(AssertionError, match="measured again"):
        measured(network, folder, "latency")
    with torch.no_grad():
        network[0].weight[0, 0] += 1
    with pytest.raises(AssertionError, match="measured again"):
        measured(network, folder)


def test_a_layer_that_the_export_does_not_show_is_reckoned_and_said(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.pruning import layer_times

    match = layer_times.match_layers

    def without_one(weights: Any, exported: Any) -> Any:
        return {**match(weights, exported), "2": []}

    def timed(session: Any, feeds: Any, nodes: Any) -> Any:
        return [1e-3 * len(names) if names else None for names in nodes], 1e-3

    monkeypatch.setattr(layer_times, "match_layers", without_one)
    monkeypatch.setattr(layer_times, "layer_seconds", timed)
    costs = measured(network)
    assert costs.notes == (
        "Layer '2' is not found in the ONNX export: the cost is reckoned from multiply-adds, at "
        "the speed of the other layers.",
    )
    # Layers 0, 4 and 6 do 12 x 24, 24 x 24 and 24 x 5 multiply-adds for each of 16 rows in 1 ms.
    assert costs.layer("2", None) == pytest.approx(1e-3 * 24 * 24 / (12 * 24))
    assert costs.layer("2", levels[1]) == pytest.approx(0.1 * costs.layer("2", None))


def test_layers_left_to_onnx_runtime_save_nothing_and_that_is_said(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.pruning import layer_times

    def left(session: Any, feeds: Any, nodes: Any) -> Any:
        return (1e-3, None, 1e-3, 1e-3), 1e-3

    monkeypatch.setattr(layer_times, "layer_seconds", left)
    costs = measured(network)
    assert costs.layer("2", None) == costs.layer("2", levels[1]) == 0
    assert costs.notes == (
        "Layer '2' is left to ONNX Runtime, which skips no zeros: nothing is saved there.",
    )


def test_layers_whose_zeros_no_kernel_skips_cost_the_same_at_every_level(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = type(open_model(network)).layers

    def one_without(adapter: Any) -> list[Layer]:
        return [replace(layer, gain=layer.name != "2") for layer in find(adapter)]

    monkeypatch.setattr(type(open_model(network)), "layers", one_without)
    costs = measured(network)
    assert costs.layer("2", None) == costs.layer("2", levels[1]) == 0
    assert costs.layer("4", levels[1]) > 0 and costs.notes == ()


def test_a_model_none_of_whose_layers_is_found_is_refused(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.pruning import layer_times

    monkeypatch.setattr(
        layer_times, "match_layers", lambda weights, exported: {name: [] for name in weights}
    )
    with pytest.raises(ModelError, match="none of the layers"):
        measured(network)


def test_a_sample_of_typical_length_is_one_inference(network: nn.Module) -> None:
    batches = [{"input": np.full((4, 12), float(number))} for number in range(5)]
    found = one_sample(batches, open_model(network))
    assert found["input"].shape == (1, 12) and (found["input"] == 2).all()


def test_an_unknown_objective_is_refused() -> None:
    assert checked_objective("bytes") == "bytes"
    with pytest.raises(OptionError, match=r"'watts'.*energy, latency, bytes, sparsity"):
        checked_objective("watts")


def test_patterns_have_costs_of_their_own() -> None:
    costs = Measured(
        "latency",
        1.0,
        {"a": 10.0},
        {"a": {"unstructured": [(0.5, 8.0), (0.9, 4.0)], "block:4x1": [(0.5, 6.0)]}},
    )
    assert costs.layer("a", Choice(unstructured, 0.5)) == 8
    assert costs.layer("a", Choice(unstructured, 0.7)) == pytest.approx(6)
    assert costs.layer("a", Choice(block, 0.5)) == 6
    assert costs.layer("a", Choice(block, 0.99)) == 6, "no faster than what was measured"
