from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gossamer.errors import OptionError
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.solvers import SOLVERS, get_solver
from gossamer.sparsity.statistics import LayerStatistics

unstructured = get_pattern("unstructured")


def layer(rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor, LayerStatistics]:
    """Return a weight, correlated inputs of very different size, and their statistics."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random)
    mixing = torch.randn(columns, columns, generator=random)
    scale = torch.linspace(0.2, 3, columns)
    inputs = torch.randn(8 * columns, columns, generator=random) @ mixing * scale
    statistics = LayerStatistics("layer", columns)
    statistics.update(inputs)
    return weight, inputs, statistics


def error(inputs: Tensor, dense: Tensor, sparse: Tensor) -> float:
    return float((inputs @ (dense - sparse).T).square().sum())


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(SOLVERS)),
    rows=st.integers(1, 9),
    columns=st.integers(2, 150),
    sparsity=st.floats(0, 1),
)
def test_every_solver_removes_what_its_mask_says_and_nothing_else(
    name: str, rows: int, columns: int, sparsity: float
) -> None:
    weight, _, statistics = layer(rows, columns)
    before = weight.clone()
    sparse, mask, *_ = get_solver(name).solve(weight, statistics, unstructured, sparsity)
    removed = (
        rows * round(sparsity * columns) if name == "wanda" else round(sparsity * (rows * columns))
    )
    assert int((~mask).sum()) == removed
    assert (sparse[~mask] == 0).all() and (sparse[mask] != 0).all()
    assert torch.equal(weight, before)


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("rows", [3, 8, 10])
@pytest.mark.parametrize("shape", [(4, 1), (2, 3)])
def test_every_solver_removes_blocks_whole(name: str, rows: int, shape: tuple[int, int]) -> None:
    weight, _, statistics = layer(rows, 150)
    pattern = get_pattern(f"block:{shape[0]}x{shape[1]}")
    sparse, mask, *_ = get_solver(name).solve(weight, statistics, pattern, 0.7)
    for y in range(0, rows, shape[0]):
        for x in range(0, 150, shape[1]):
            block = mask[y : y + shape[0], x : x + shape[1]]
            assert block.all() or not block.any()
    assert (sparse[~mask] == 0).all() and (sparse[mask] != 0).all()
    bands = -(-rows // shape[0]) if name == "wanda" else 1
    off = abs(int((~mask).sum()) - 0.7 * rows * 150)
    assert off <= bands * shape[0] * shape[1] / 2


def test_with_blocks_too_obs_beats_wanda_beats_magnitude() -> None:
    weight, inputs, statistics = layer(32, 64)
    lost = {
        name: error(
            inputs,
            weight,
            get_solver(name).solve(weight, statistics, get_pattern("block"), 0.6)[0],
        )
        for name in ("magnitude", "wanda", "obs")
    }
    assert lost["obs"] < lost["wanda"] < lost["magnitude"]


@pytest.mark.parametrize("name", ["magnitude", "wanda"])
def test_score_solvers_leave_the_other_weights_alone(name: str) -> None:
    weight, _, statistics = layer(6, 10)
    sparse, mask, *_ = get_solver(name).solve(weight, statistics, unstructured, 0.5)
    assert torch.equal(sparse[mask], weight[mask])


def test_at_the_same_sparsity_obs_beats_wanda_beats_magnitude() -> None:
    weight, inputs, statistics = layer(32, 64)
    lost = {
        name: error(
            inputs, weight, get_solver(name).solve(weight, statistics, unstructured, 0.6)[0]
        )
        for name in ("magnitude", "wanda", "obs")
    }
    assert lost["obs"] < lost["wanda"] < lost["magnitude"]


def test_magnitude_needs_no_statistics_and_the_others_say_that_they_do() -> None:
    weight = torch.randn(3, 4)
    get_solver("magnitude").solve(weight, None, unstructured, 0.5)
    for name in ("wanda", "obs"):
        with pytest.raises(OptionError, match="calibration"):
            get_solver(name).solve(weight, None, unstructured, 0.5)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"'adam'.*magnitude, obs, wanda"):
        get_solver("adam")
