"""What no kernel skips zeros in is pruned where the user names it, and only there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gossamer as gs
from gossamer.errors import ModelError
from gossamer.models import open_model
from gossamer.models.selection import default_layers


class Experts(nn.Module):
    """Three linear layers in one parameter, `[3, 5, 6]` or turned."""

    def __init__(self, is_transposed: bool) -> None:
        super().__init__()
        self.is_transposed = is_transposed
        self.up = nn.Parameter(torch.randn(3, 6, 5) if is_transposed else torch.randn(3, 5, 6))
        self.position = nn.Parameter(torch.randn(1, 4, 6))


@pytest.mark.parametrize(
    ("module", "name", "kind", "shape"),
    [
        (nn.Embedding(9, 4), "0", "embedding", (9, 4, 1)),
        (nn.EmbeddingBag(9, 4), "0", "embedding", (9, 4, 1)),
        (nn.LSTM(4, 6), "0.weight_ih_l0", "recurrent", (24, 4, 1)),
        (nn.GRU(4, 6, 2), "0.weight_hh_l1", "recurrent", (18, 6, 1)),
        (nn.RNN(4, 6, bidirectional=True), "0.weight_ih_l0_reverse", "recurrent", (6, 4, 1)),
        (nn.LSTMCell(4, 6), "0.weight_hh", "recurrent", (24, 6, 1)),
        (nn.Conv3d(4, 6, (1, 2, 3), groups=2), "0", "convolution", (6, 12, 2)),
        (nn.ConvTranspose1d(4, 6, 3), "0", "convolution", (6, 12, 1)),
        (nn.ConvTranspose2d(4, 6, (2, 3), groups=2), "0", "convolution", (6, 12, 2)),
        (Experts(False), "0.up", "experts", (15, 6, 3)),
        (Experts(True), "0.up", "experts", (15, 6, 3)),
    ],
)
def test_a_layer_without_gain_is_a_matrix_that_nobody_chooses(
    module: nn.Module, name: str, kind: str, shape: tuple[int, ...]
) -> None:
    adapter = open_model(nn.Sequential(module))
    layers = {layer.name: layer for layer in adapter.layers()}
    layer = layers[name]
    assert (layer.kind, layer.gain) == (kind, False)
    assert (layer.rows, layer.columns, layer.groups) == shape
    assert default_layers(list(layers.values())) == []
    assert {one.name for one in adapter.left_out()} <= {"0.position"}
    before = copy.deepcopy(adapter.model.state_dict())
    weight = adapter.weight(name)
    adapter.set_weight(name, weight)
    for key, value in adapter.model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_row_of_a_transposed_convolution_is_what_makes_one_channel() -> None:
    module = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    adapter = open_model(nn.Sequential(module))
    weight = adapter.weight("0")
    weight[[0, 4]] = 0
    adapter.set_weight("0", weight)
    given = module(torch.randn(2, 4, 5, 5))
    assert given.abs().sum((0, 2, 3)).eq(0).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_row_of_an_expert_is_one_of_its_outputs(is_transposed: bool) -> None:
    module = Experts(is_transposed)
    adapter = open_model(nn.Sequential(module))
    x = torch.randn(3, 7, 6)
    expected = x @ (module.up if is_transposed else module.up.transpose(1, 2))
    product = x @ adapter.weight("0.up").reshape(3, 5, 6).transpose(1, 2)
    torch.testing.assert_close(product, expected)


class Small(nn.Module):
    """A table, a recurrent layer, experts, transposed and 3-d convolutions, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4, padding_idx=0)
        self.rnn = nn.LSTM(4, 6, batch_first=True)
        self.experts = Experts(False)
        self.spread = nn.ConvTranspose1d(6, 8, 3)
        self.volume = nn.Conv3d(1, 2, (3, 3, 1), padding=(1, 1, 0))
        self.hidden = nn.Linear(8, 8)
        self.again = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.rnn(self.table(ids))[0]
        mixed = functional.linear(states, self.experts.up[0])
        states = self.spread((states + functional.pad(mixed, (0, 1))).transpose(1, 2))
        states = self.volume(states[:, None, :, :, None])[:, 0, :, :, 0]
        return self.head(self.again(self.hidden(states.transpose(1, 2)).relu()).relu())


GAINLESS = [
    "table",
    "rnn.weight_ih_l0",
    "rnn.weight_hh_l0",
    "experts.up",
    "spread",
    "volume",
]


def test_layers_are_in_the_order_of_the_model() -> None:
    assert [layer.name for layer in open_model(Small()).layers()] == [
        *GAINLESS,
        "hidden",
        "again",
        "head",
    ]


def test_by_default_they_stay_dense_and_it_is_said() -> None:
    model = Small().eval()
    result = gs.sparsify(model, {"ids": torch.randint(1, 9, (8, 5))}, sparsity=0.5)
    assert [layer.name for layer in result.layers] == ["again"]
    assert any("no kernel skips zeros" in note and "'table'" in note for note in result.notes)
    for name, value in result.model.state_dict().items():
        if not name.startswith("again."):
            assert torch.equal(value, model.state_dict()[name])


@pytest.mark.parametrize("choice", [GAINLESS, "table|rnn|experts|spread|volume"])
@pytest.mark.parametrize("solver", ["magnitude", "wanda", "obs", "admm"])
def test_named_they_are_pruned_by_size(choice: Any, solver: str) -> None:
    model = Small().eval()
    ids = torch.randint(1, 9, (8, 5))
    result = gs.sparsify(
        model, {"ids": ids}, sparsity=0.5, layers=choice, solver=solver, allocation="uniform"
    )
    assert [layer.name for layer in result.layers] == GAINLESS
    assert any("No gain here" in note for note in result.notes)
    assert not any("No calibration sample reaches" in note for note in result.notes)
    for layer in result.layers:
        dense = open_model(model).weight(layer.name)
        sparse = open_model(result.model).weight(layer.name)
        kept = sparse != 0
        torch.testing.assert_close(sparse[kept], dense[kept])
        assert 0.4 <= 1 - float(kept.float().mean()) <= 0.6
    assert result.model(ids).isfinite().all()


def test_they_may_be_pruned_beside_layers_that_gain() -> None:
    model = Small().eval()
    data = {"ids": torch.randint(1, 9, (40, 5))}
    result = gs.sparsify(model, data, sparsity=0.5, layers=["table", "spread", "hidden", "again"])
    assert [layer.name for layer in result.layers] == ["table", "spread", "hidden", "again"]
    assert result.sparsity == pytest.approx(0.5, abs=0.02)


def test_a_table_s_padding_is_no_sparsity_to_hold() -> None:
    from gossamer.pruning.masks import Masks

    model = Small()
    assert list(Masks.of_zeros(model)) == []
    with torch.no_grad():
        model.table.weight[1:, 0] = 0
    mask = Masks.of_zeros(model)["table.weight"]
    assert not mask[1:, 0].any() and mask[0].all() and mask[:, 1:].all()


def test_they_are_trained_sparse_where_they_are_named() -> None:
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = gs.Sparsifier(0.5, steps=2, layers=GAINLESS)
    sparsifier.prepare(model, optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randint(1, 9, (8, 5))).square().mean().backward()
        optimizer.step()
        sparsifier.step()
    masks = sparsifier.finalize()
    assert len(masks) == len(GAINLESS)
    assert sparsifier.current_sparsity == pytest.approx(0.5, abs=0.05)


def test_one_threshold_over_all_layers_takes_them_by_size() -> None:
    model = Small().eval()
    data = {"ids": torch.randint(1, 9, (40, 5))}
    layers = ["table", "hidden", "again"]
    result = gs.sparsify(model, data, sparsity=0.5, layers=layers, allocation="global")
    table = open_model(model).weight("table").abs()
    kept = open_model(result.model).weight("table") != 0
    assert 0 < float(kept.float().mean()) < 1
    assert table[kept].min() >= table[~kept].max()


@pytest.mark.parametrize("objective", ["bytes", "sparsity"])
def test_a_budget_of_bytes_reaches_them(objective: str) -> None:
    result = gs.sparsify(
        Small().eval(),
        {"ids": torch.randint(1, 9, (8, 5))},
        budget=0.95,
        objective=objective,
        layers=["spread"],
        levels=[0.5, 0.9],
        search_seconds=0,
    )
    assert [layer.name for layer in result.layers if layer.zeros] == ["spread"]


def test_a_search_for_less_time_leaves_them_alone_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gossamer.pruning import job
    from gossamer.pruning.costs import Weights

    solved: list[str] = []

    def measure(dense: Any, layers: Any, *_: Any) -> Weights:
        solved.extend(layer.name for layer in layers)
        return Weights(layers, {layer.name: layer.weights for layer in layers})

    monkeypatch.setattr(job, "measure", measure)
    result = gs.sparsify(
        Small().eval(),
        {"ids": torch.randint(1, 9, (8, 5))},
        budget=0.7,
        layers=["table", "hidden", "again"],
        levels=[0.5, 0.9],
        search_seconds=0,
    )
    assert solved == [layer.name for layer in result.layers] == ["hidden", "again"]
    assert any("Zeros save no energy in 1 of the layers" in note for note in result.notes)


def test_where_nothing_named_gains_a_budget_of_time_is_refused() -> None:
    with pytest.raises(ModelError, match="no kernel skips zeros in the layers that were named"):
        gs.sparsify(
            Small().eval(),
            {"ids": torch.randint(1, 9, (8, 5))},
            budget=0.7,
            layers=["table", "spread"],
            levels=[0.5],
        )


def test_recovery_holds_their_zeros() -> None:
    model = Small().eval()
    ids = torch.randint(1, 9, (8, 5))
    sparse = gs.sparsify(model, {"ids": ids}, sparsity=0.5, layers=GAINLESS).model
    found = gs.recover(sparse, model, {"ids": ids}, steps=2, batch_size=4)
    for name in GAINLESS:
        before, after = (open_model(one).weight(name) for one in (sparse, found.model))
        assert not after[before == 0].any()
        if name != "experts.up":
            # Of the experts the model uses one alone.
            assert not torch.equal(before, after)


def test_their_work_is_none_or_unknown() -> None:
    found = gs.inspect(Small().eval(), {"ids": np.ones((2, 5), np.int64)})
    work = {layer.name: layer.multiply_adds for layer in found.layers}
    assert work["table"] == 0
    assert {work[name] for name in GAINLESS[1:]} == {None}
    # The transposed convolution makes 7 positions of 5.
    assert work["hidden"] == 2 * 7 * 64
