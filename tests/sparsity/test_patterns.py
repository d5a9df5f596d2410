from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.errors import OptionError
from gossamer.sparsity.patterns import get_pattern

unstructured = get_pattern("unstructured")


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    sparsity=st.floats(0, 1),
    ties=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_exactly_the_rounded_number_goes_and_never_a_higher_score(
    rows: int, columns: int, sparsity: float, ties: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, columns, generator=random)
    if ties:
        scores = (scores * 3).floor()
    keep = unstructured.mask(scores, sparsity)
    assert keep.shape == scores.shape and keep.dtype == torch.bool
    assert int((~keep).sum()) == round(sparsity * scores.numel())
    if keep.any() and not keep.all():
        assert scores[keep].min() >= scores[~keep].max()


def test_per_row_every_row_loses_equally_many() -> None:
    scores = torch.arange(12.0).reshape(3, 4)
    keep = unstructured.mask(scores, 0.5, per_row=True)
    assert keep.tolist() == [[False, False, True, True]] * 3


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan"), "much"])
def test_a_sparsity_outside_0_to_1_is_refused(sparsity: float) -> None:
    with pytest.raises(OptionError, match="from 0 to 1"):
        unstructured.mask(torch.ones(2, 2), sparsity)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 7),
    shape=st.sampled_from([(4, 1), (2, 2), (1, 4), (3, 5)]),
    sparsity=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_blocks_go_whole_and_as_many_as_come_nearest_to_the_sparsity(
    rows: int, columns: int, shape: tuple[int, int], sparsity: float, seed: int
) -> None:
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    keep = get_pattern(f"block:{shape[0]}x{shape[1]}").mask(scores, sparsity)
    assert keep.shape == scores.shape and keep.dtype == torch.bool
    blocks = [
        (scores[y : y + shape[0], x : x + shape[1]], keep[y : y + shape[0], x : x + shape[1]])
        for y in range(0, rows, shape[0])
        for x in range(0, columns, shape[1])
    ]
    assert all(part.all() or not part.any() for _, part in blocks)
    kept = [score.mean() for score, part in blocks if part.any()]
    gone = [score.mean() for score, part in blocks if not part.any()]
    if kept and gone:
        assert min(kept) >= max(gone)
    off = abs(int((~keep).sum()) - sparsity * scores.numel())
    assert off <= shape[0] * shape[1] / 2


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4, 5, 6])
def test_the_blocks_that_stay_have_the_largest_sum_of_all_choices(kept: int) -> None:
    scores = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
    keep = get_pattern("block:4x1").mask(scores, 1 - kept / 6)
    sums = scores.reshape(2, 4, 3).sum(1).flatten().tolist()
    best = max(sum(choice) for choice in itertools.combinations(sums, kept))
    assert int(keep.sum()) == 4 * kept
    assert float(scores[keep].sum()) == pytest.approx(best)


def test_a_block_is_as_good_as_all_its_weights_together() -> None:
    """One large weight does not save three small ones against four of middle size."""
    scores = torch.tensor([[5.0, 2], [0, 2], [0, 2], [0, 2]])
    keep = get_pattern("block").mask(scores, 0.5)
    assert keep.tolist() == [[False, True]] * 4


def test_what_does_not_fill_a_block_is_a_smaller_one_and_counts_by_the_weight() -> None:
    scores = torch.tensor([[1.0], [1], [1], [1], [3]])
    assert get_pattern("block").mask(scores, 0.7).flatten().tolist() == [False] * 4 + [True]


def test_per_row_every_row_of_blocks_loses_equally_many() -> None:
    scores = torch.arange(24.0).reshape(6, 4)
    keep = get_pattern("block:4x1").mask(scores, 0.5, per_row=True)
    assert keep.tolist() == [[False, False, True, True]] * 6


def test_a_block_of_one_weight_is_unstructured() -> None:
    scores = torch.rand(5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(get_pattern("block:1x1").mask(scores, 0.6), unstructured.mask(scores, 0.6))


def test_a_block_s_size_is_part_of_its_name() -> None:
    assert [get_pattern(name).name for name in ("block", "block:4x1", "block:2x8")] == [
        "block:4x1",
        "block:4x1",
        "block:2x8",
    ]


@pytest.mark.parametrize("name", ["block:4", "block:0x1", "block:4x-1", "block:4x1x1"])
def test_a_block_without_a_size_is_told_how_to_give_one(name: str) -> None:
    with pytest.raises(OptionError, match=r"as in block:4x1"):
        get_pattern(name)


def test_unstructured_takes_no_options() -> None:
    with pytest.raises(OptionError, match="takes no options"):
        get_pattern("unstructured:4x1")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"'striped'.*block, channel, unstructured"):
        get_pattern("striped")


@pytest.mark.parametrize(("name", "columns"), [("2:4", 16), ("1:4", 10), ("3:7", 7), ("2:4", 3)])
def test_of_every_m_neighbouring_inputs_the_n_highest_stay(name: str, columns: int) -> None:
    kept, of = map(int, name.split(":"))
    scores = torch.randn(5, columns)
    keep = get_pattern(name).mask(scores, 1 - kept / of)
    for row in range(5):
        for start in range(0, columns, of):
            part = scores[row, start : start + of]
            best = part.topk(min(kept, len(part))).indices.tolist()
            assert keep[row, start : start + of].nonzero().flatten().tolist() == sorted(best)


def test_n_of_m_has_one_sparsity() -> None:
    pattern = get_pattern("1:4")
    assert (pattern.name, pattern.sparsity, pattern.shape) == ("1:4", 0.75, (1, 4))
    assert not pattern.mask(torch.ones(2, 8), 0.1).all(), "whatever is asked for"
    assert get_pattern("unstructured").sparsity is get_pattern("block:4x1").sparsity is None


@pytest.mark.parametrize("name", ["4:4", "0:4", "5:4", "2:0"])
def test_an_n_of_m_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="0 < n < m"):
        get_pattern(name)


def test_channels_are_whole_rows_compared_with_each_other() -> None:
    scores = torch.tensor([[9.0, 0.0], [1.0, 2.0], [4.0, 4.0]])
    for per_row in (False, True):
        keep = get_pattern("channel").mask(scores, 1 / 3, per_row=per_row)
        assert keep.tolist() == [[True, True], [False, False], [True, True]]


def test_a_block_larger_than_the_layer_is_the_layer() -> None:
    scores = torch.rand(3, 5)
    assert get_pattern("block:99x99").mask(scores, 0.4).all()
    assert not get_pattern("block:99x99").mask(scores, 0.6).any()


def test_channels_take_no_options() -> None:
    with pytest.raises(OptionError, match="'channel' takes no options"):
        get_pattern("channel:4")
