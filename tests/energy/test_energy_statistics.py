"""Intervals, on samples whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gossamer.energy.statistics import (
    Interval,
    expected_half_width,
    gain_interval,
    median_interval,
    verdict,
)


def test_the_interval_holds_the_true_median_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        found = median_interval(rng.lognormal(0, 0.5, 40))
        held += found.low <= 1.0 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_stopping_once_it_should_be_narrow_keeps_the_interval_honest() -> None:
    """Samples are added until the expected width is small, as `measure` adds rounds."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        samples = rng.lognormal(0, 0.03, 400)
        size = 20
        while expected_half_width(samples[:size]) > 0.01 and size < 400:
            size = math.ceil(1.1 * size)
        found = median_interval(samples[:size])
        held += found.low <= 1 <= found.high
    assert 0.92 <= held / 300 <= 0.98


def test_the_expected_width_is_about_that_of_the_interval() -> None:
    samples = np.random.default_rng(0).normal(10, 1, 2000)
    found = median_interval(samples)
    half = (found.high - found.low) / 2 / found.median
    assert expected_half_width(samples) == pytest.approx(half, rel=0.2)
    assert expected_half_width([3.0]) == 0


def test_the_interval_narrows_with_the_root_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for size in (50, 5000):
        found = median_interval(rng.normal(10, 1, size))
        widths.append(found.high - found.low)
    assert 5 < widths[0] / widths[1] < 20


def test_an_outlier_does_not_move_the_median() -> None:
    samples = np.array([10.0] * 30 + [1e6])
    assert median_interval(samples) == Interval(10, 10, 10)


def test_one_sample_is_its_own_interval() -> None:
    assert median_interval([3.0]) == Interval(3, 3, 3)


def test_the_same_samples_give_the_same_interval() -> None:
    samples = np.random.default_rng(0).normal(size=20)
    assert median_interval(samples) == median_interval(samples)


def test_ratios_are_taken_pair_by_pair_so_that_drift_cancels() -> None:
    rng = np.random.default_rng(0)
    drift = np.linspace(1, 5, 60)
    first = 2.3 * drift * rng.lognormal(0, 0.02, 60)
    other = drift * rng.lognormal(0, 0.02, 60)
    found = gain_interval(first, other)
    assert found.low < 2.3 < found.high
    assert found.high - found.low < 0.06


def test_scaling_scales_all_three() -> None:
    assert Interval(2, 1, 4).scaled(3) == Interval(6, 3, 12)


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (Interval(2.31, 2.25, 2.4), "2.31 times faster (2.25 to 2.40)"),
        (Interval(0.5, 0.4, 0.8), "2.00 times slower (1.25 to 2.50)"),
        (Interval(1.03, 1.021, 1.04), "1.03 times faster (1.02 to 1.04)"),
        (Interval(1.0, 0.985, 1.015), "no gain"),
        (Interval(1.01, 1.005, 1.015), "no gain"),
        (Interval(1.1, 0.9, 1.3), "not significant"),
        (Interval(1.03, 0.999, 1.06), "not significant"),
    ],
)
def test_the_verdict_follows_from_the_interval(gain: Interval, words: str) -> None:
    assert verdict(gain, "faster", "slower", rounds=20) == words


def test_too_few_rounds_show_nothing() -> None:
    gain = Interval(2.0, 2.0, 2.0)
    assert verdict(gain, "faster", "slower", rounds=5) == "not significant"
    assert verdict(gain, "faster", "slower", rounds=6) != "not significant"
