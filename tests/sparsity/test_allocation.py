from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.errors import OptionError
from gossamer.sparsity.allocation import one_threshold, settle, uniform


def test_uniform_gives_all_the_same() -> None:
    assert uniform({"a": 10, "b": 1000}, 0.7) == {"a": 0.7, "b": 0.7}


def test_a_sparsity_outside_0_to_1_is_refused() -> None:
    for allocate in (
        lambda sparsity: uniform({"a": 1}, sparsity),
        lambda sparsity: one_threshold({"a": np.ones(3)}, sparsity),
        lambda sparsity: settle({"a": 0.5}, {"a": 3}, sparsity),
    ):
        with pytest.raises(OptionError, match="from 0 to 1"):
            allocate(2.0)


@pytest.mark.parametrize("sparsity", [0, 0.01, 0.37, 0.5, 0.999, 1])
def test_one_threshold_removes_the_lowest_scores_of_all(sparsity: float) -> None:
    random = np.random.default_rng(0)
    scores = {"a": random.random((30, 20)), "b": random.standard_normal((10, 50)) ** 2}
    found = one_threshold(scores, sparsity)
    scaled = {name: s / np.sqrt((s**2).mean()) for name, s in scores.items()}
    everything = np.sort(np.concatenate([s.ravel() for s in scaled.values()]))
    removed = round(sparsity * 1100)
    for name, values in scaled.items():
        lowest = (values <= everything[removed - 1]).sum() if removed else 0
        assert round(found[name] * values.size) == lowest


def test_one_threshold_does_not_depend_on_a_layer_s_scale() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(400), random.random(300)
    plain = one_threshold({"a": a, "b": b}, 0.5)
    assert one_threshold({"a": 1000 * a, "b": b}, 0.5) == pytest.approx(plain, abs=0.01)
    assert 0.4 < plain["a"] < 0.6


def test_of_equal_scores_exactly_as_many_go_as_are_asked_for() -> None:
    found = one_threshold({"a": np.ones(10), "b": np.ones(10)}, 0.35)
    assert 10 * found["a"] + 10 * found["b"] == pytest.approx(7)


def test_a_layer_of_zeros_goes_first() -> None:
    found = one_threshold({"zero": np.zeros(10), "other": np.arange(1.0, 11.0)}, 0.5)
    assert found == {"zero": 1.0, "other": 0.0}


@given(
    layers=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=8),
    sparsity=st.floats(0, 1),
)
def test_settled_shares_add_up_to_the_weight(
    layers: list[tuple[int, float]], sparsity: float
) -> None:
    weights = {str(index): size for index, (size, _) in enumerate(layers)}
    shares = {str(index): share for index, (_, share) in enumerate(layers)}
    found = settle(shares, weights, sparsity)
    zeros = {name: round(found[name] * weights[name]) for name in weights}
    total = sum(weights.values())
    assert sum(zeros.values()) == round(sparsity * total)
    assert all(0 <= share <= 1 for share in found.values())


def test_settling_scales_densities_alike_and_keeps_what_fits() -> None:
    weights = {"a": 1000, "b": 1000}
    assert settle({"a": 0.6, "b": 0.8}, weights, 0.7) == pytest.approx({"a": 0.6, "b": 0.8})
    denser = settle({"a": 0.6, "b": 0.8}, weights, 0.55)
    assert denser == pytest.approx({"a": 0.4, "b": 0.7}, abs=0.001)
    # Where one layer is full, the other takes the rest.
    assert settle({"a": 0.0, "b": 0.9}, weights, 0.3) == pytest.approx({"a": 0.0, "b": 0.6})
