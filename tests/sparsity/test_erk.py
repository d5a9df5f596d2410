from __future__ import annotations

import pytest

from gossamer.errors import OptionError
from gossamer.sparsity.erk import erk


def test_densities_are_as_the_sum_of_sides_over_their_product() -> None:
    shapes = {"linear": (300, 200), "convolution": (64, 32, 3, 3)}
    found = erk(shapes, 0.9)
    density = {name: 1 - share for name, share in found.items()}
    expected = (500 / 60000) / ((64 + 32 + 3 + 3) / (64 * 32 * 9))
    assert density["linear"] / density["convolution"] == pytest.approx(expected, rel=0.01)
    removed = found["linear"] * 60000 + found["convolution"] * 18432
    assert removed == pytest.approx(round(0.9 * 78432))


def test_a_small_layer_stays_dense_and_the_others_make_up_for_it() -> None:
    found = erk({"tiny": (4, 4), "large": (400, 400), "larger": (800, 800)}, 0.5)
    assert found["tiny"] == 0
    removed = found["large"] * 160000 + found["larger"] * 640000
    assert removed == pytest.approx(0.5 * 800016)


def test_a_sparsity_outside_0_to_1_is_refused() -> None:
    with pytest.raises(OptionError, match="from 0 to 1"):
        erk({"a": (2, 2)}, -0.5)
