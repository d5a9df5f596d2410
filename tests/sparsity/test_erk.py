from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.errors import OptionError
from gossamer.sparsity.erk import erk

SHAPES = {"stem": (16, 3, 3, 3), "wide": (128, 128, 3, 3), "head": (100, 500), "odd": (7, 11)}


def removed(shares: dict[str, float], shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(round(shares[name] * math.prod(shape)) for name, shape in shapes.items())


@settings(max_examples=100, deadline=None)
@given(
    shapes=st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.lists(st.integers(1, 12), min_size=2, max_size=4).map(tuple),
        min_size=1,
    ),
    sparsity=st.floats(0, 1),
)
def test_the_sparsity_over_all_layers_is_exact(
    shapes: dict[str, tuple[int, ...]], sparsity: float
) -> None:
    shares = erk(shapes, sparsity)
    total = sum(math.prod(shape) for shape in shapes.values())
    assert all(0 <= share <= 1 for share in shares.values())
    assert removed(shares, shapes) == round(sparsity * total)


def test_density_is_in_proportion_to_the_axes_over_the_product() -> None:
    """The rule of the paper, solved by bisection on its one factor."""
    shares = erk(SHAPES, 0.9)
    low, high = 0.0, 1e6
    total = sum(math.prod(shape) for shape in SHAPES.values())
    for _ in range(200):
        factor = (low + high) / 2
        densities = {
            name: min(1.0, factor * sum(shape) / math.prod(shape)) for name, shape in SHAPES.items()
        }
        kept = sum(densities[name] * math.prod(shape) for name, shape in SHAPES.items())
        low, high = (factor, high) if kept < 0.1 * total else (low, factor)
    assert densities["stem"] == densities["odd"] == 1.0 > densities["head"] > densities["wide"]
    for name, shape in SHAPES.items():
        assert 1 - shares[name] == pytest.approx(densities[name], abs=1 / math.prod(shape))


def test_a_sparsity_outside_0_to_1_is_refused() -> None:
    with pytest.raises(OptionError, match="from 0 to 1"):
        erk(SHAPES, 1.5)
