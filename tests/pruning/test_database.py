"""Layers solved at every level: their losses, their files, and going on after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import OptionError
from gossamer.models import open_model
from gossamer.progress import showing
from gossamer.pruning.database import Database, levels_of, squared_output
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import Solution, get_solver
from gossamer.sparsity.statistics import LayerStatistics

x = np.random.default_rng(0).standard_normal((64, 12)).astype(np.float32)
levels = levels_of([get_pattern("unstructured")], (0.5, 0.9))


class Counting:
    """A solver that counts what it solves, and can be interrupted."""

    needs = "hessian"

    def __init__(self, stop_after: int | None = None) -> None:
        self.name = "obs"
        self.solved = 0
        self._stop = stop_after

    def solve(self, *arguments: Any) -> Solution:
        if self.solved == self._stop:
            raise KeyboardInterrupt
        self.solved += 1
        return get_solver("obs").solve(*arguments)


def database(
    model: nn.Module, folder: Path, solver: Any = None, data: np.ndarray[Any, Any] = x
) -> Database:
    adapter = open_model(model)
    made = Database(
        adapter, adapter.layers(), levels, solver or Counting(), [{"input": data}], folder
    )
    with showing(False) as progress:
        made.fill(progress)
    return made


def test_each_layer_is_solved_on_the_dense_model_s_inputs(
    network: nn.Module, tmp_path: Path
) -> None:
    made = database(network, tmp_path)
    hidden = torch.from_numpy(x)
    for index in (0, 2, 4, 6):
        layer = network[index]
        statistics = LayerStatistics("", layer.in_features)
        statistics.update(hidden)
        with torch.no_grad():
            outputs = layer(hidden) - layer.bias
            for level, choice in enumerate(levels):
                expected = get_solver("obs").solve(layer.weight, statistics, *choice).weight
                found = made.weight(str(index), level)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
                lost = (hidden @ found.T - outputs).square().sum() / outputs.square().sum()
                assert made.losses(str(index))[level] == pytest.approx(float(lost), rel=1e-3)
            hidden = layer(hidden).relu()


def test_losses_rise_with_sparsity(network: nn.Module, tmp_path: Path) -> None:
    made = database(network, tmp_path)
    for name in ("0", "2", "4", "6"):
        one, other = made.losses(name)
        assert 0 < one < other < 1


def test_a_grouped_convolution_s_loss_is_that_of_its_groups() -> None:
    torch.manual_seed(0)
    statistics = LayerStatistics("", 3, groups=2)
    inputs = torch.randn(2, 40, 3)
    statistics.update(inputs)
    weight = torch.randn(8, 3)
    expected = sum((inputs[g] @ weight[4 * g : 4 * g + 4].T).square().sum() for g in range(2))
    assert squared_output(weight, statistics) == pytest.approx(float(expected), rel=1e-4)


def test_an_interrupted_run_goes_on_where_it_was(network: nn.Module, tmp_path: Path) -> None:
    stopped = Counting(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        database(network, tmp_path, stopped)
    assert len(list(tmp_path.iterdir())) == 5, "each level is kept as soon as it is solved"
    going_on = Counting()
    made = database(network, tmp_path, going_on)
    assert going_on.solved == 3
    whole = database(network, tmp_path / "anew")
    for name in ("0", "2", "4", "6"):
        np.testing.assert_allclose(made.losses(name), whole.losses(name))
    again = Counting()
    database(network, tmp_path, again)
    assert again.solved == 0


def test_other_weights_or_data_are_not_taken_for_these(network: nn.Module, tmp_path: Path) -> None:
    database(network, tmp_path)
    other_data = Counting()
    database(network, tmp_path, other_data, data=x + 1)
    assert other_data.solved == 8
    with torch.no_grad():
        network[0].weight[0, 0] += 1
    other_weights = Counting()
    database(network, tmp_path, other_weights)
    assert other_weights.solved == 8


def test_a_damaged_file_is_solved_again(network: nn.Module, tmp_path: Path) -> None:
    whole = database(network, tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-7])
    again = Counting()
    made = database(network, tmp_path, again)
    assert again.solved == 1
    for name in ("0", "2", "4", "6"):
        np.testing.assert_allclose(made.losses(name), whole.losses(name))


def test_files_hold_only_what_is_left_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(12, 400))
    database(wide, tmp_path)
    small, large = sorted(file.stat().st_size for file in tmp_path.iterdir())
    assert small < 0.25 * 4 * 4800 and large < 0.65 * 4 * 4800


def test_a_layer_that_the_data_never_reaches_loses_what_its_weights_hold(tmp_path: Path) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(12, 3), nn.Linear(3, 3)

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return self.used(input)

    model = Unused()
    made = database(model, tmp_path)
    for level, choice in enumerate(made.levels):
        smallest = model.unused.weight.detach().square().flatten().sort().values
        lost = smallest[: round(9 * choice.sparsity)].sum() / smallest.sum()
        assert made.losses("unused")[level] == pytest.approx(float(lost), rel=1e-5)


def test_a_layer_of_zeros_loses_nothing(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(12, 4))
    nn.init.zeros_(model[0].weight)
    assert (database(model, tmp_path).losses("0") == 0).all()


def names(found: Sequence[Any]) -> list[tuple[str, float]]:
    return [(choice.pattern.name, choice.sparsity) for choice in found]


def test_levels_are_each_pattern_at_each_sparsity() -> None:
    patterns = [get_pattern("unstructured"), get_pattern("block:4x1")]
    assert names(levels_of(patterns, (0.9, 0.5, 0.5))) == [
        ("unstructured", 0.5),
        ("unstructured", 0.9),
        ("block:4x1", 0.5),
        ("block:4x1", 0.9),
    ]


class TwoOfFour:
    """A pattern that has one sparsity, whatever is asked for."""

    name = "two of four"
    shape = (1, 4)

    def mask(self, scores: torch.Tensor, sparsity: float, **_: Any) -> torch.Tensor:
        ranks = scores.reshape(-1, 4).argsort(1).argsort(1)
        return (ranks >= 2).reshape(scores.shape)


class Strict(TwoOfFour):
    """One that refuses other sparsities."""

    def mask(self, scores: torch.Tensor, sparsity: float, **options: Any) -> torch.Tensor:
        if sparsity != 0.5:
            raise OptionError("only 0.5")
        return super().mask(scores, sparsity, **options)


@pytest.mark.parametrize("kind", [TwoOfFour, Strict])
def test_a_pattern_with_a_sparsity_of_its_own_is_one_level(kind: type[TwoOfFour]) -> None:
    assert names(levels_of([kind()], (0.3, 0.5, 0.9))) == [("two of four", 0.5)]


def test_levels_that_cannot_be_are_refused() -> None:
    for bad in ((), (0.0,), (1.0,), (2.0,)):
        with pytest.raises(OptionError, match="between 0 and 1"):
            levels_of([get_pattern("unstructured")], bad)
    with pytest.raises(OptionError, match="must be a list of numbers"):
        levels_of([get_pattern("unstructured")], (float("nan"),))
    with pytest.raises(OptionError, match="'two of four' can have none"):
        levels_of([Strict()], (0.3, 0.9))
