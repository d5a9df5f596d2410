from __future__ import annotations

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


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"'striped'.*unstructured"):
        get_pattern("striped")
