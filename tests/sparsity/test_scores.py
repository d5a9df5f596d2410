from __future__ import annotations

import pytest
import torch

from gossamer.errors import OptionError
from gossamer.sparsity.scores import magnitude, wanda
from gossamer.sparsity.statistics import LayerStatistics


def test_magnitude_is_the_absolute_value() -> None:
    assert magnitude(torch.tensor([[-3.0, 2.0]])).tolist() == [[3.0, 2.0]]


def test_wanda_is_size_times_the_norm_of_the_input() -> None:
    statistics = LayerStatistics("layer", 2)
    statistics.update(torch.tensor([[3.0, 1.0], [4.0, 0.0]]))
    scores = wanda(torch.tensor([[-1.0, 2.0], [0.5, 10.0]]), statistics)
    torch.testing.assert_close(scores, torch.tensor([[5.0, 2.0], [2.5, 10.0]]))


def test_wanda_gives_each_group_of_a_convolution_its_own_norms() -> None:
    statistics = LayerStatistics("layer", 1, groups=2)
    statistics.update(torch.tensor([[[2.0]], [[5.0]]]))
    scores = wanda(torch.ones(4, 1), statistics)
    assert scores.flatten().tolist() == [2.0, 2.0, 5.0, 5.0]


def test_wanda_without_calibration_is_refused() -> None:
    with pytest.raises(OptionError, match="calibration"):
        wanda(torch.ones(2, 2), None)
