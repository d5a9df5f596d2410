"""Draws of chance: reproducible, and as strong as the model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.edge.channels import draw, noise_w, path_loss_db
from gossamer.edge.scenario import scenario_from


def test_the_same_seed_and_number_give_the_same_channels(document: dict[str, Any]) -> None:
    scenario = scenario_from(document)
    one, again, other = draw(scenario, 0), draw(scenario, 0), draw(scenario, 1)
    np.testing.assert_array_equal(one.network.channels, again.network.channels)
    assert (one.network.channels != other.network.channels).all()
    other_seed = draw(scenario_from({**document, "seed": 1}), 0)
    assert (one.network.channels != other_seed.network.channels).all()


def test_positions_lie_in_the_square_unless_given(document: dict[str, Any]) -> None:
    drawn = draw(scenario_from(document), 3)
    for points, count in ((drawn.access_points_m, 3), (drawn.users_m, 2)):
        assert points.shape == (count, 2)
        assert ((points >= 0) & (points <= 300)).all()
    document["users"]["positions_m"] = [[1, 2], [3, 4]]
    given = draw(scenario_from(document), 3)
    np.testing.assert_array_equal(given.users_m, [[1, 2], [3, 4]])
    # The others stand where they stood.
    np.testing.assert_array_equal(given.access_points_m, drawn.access_points_m)


def test_loss_grows_with_distance_and_stops_near_by(document: dict[str, Any]) -> None:
    channel = scenario_from(document).channel
    loss = path_loss_db(channel, np.array([1.0, 10.0, 100.0]))
    np.testing.assert_allclose(loss, [67.2, 67.2, 103.9])


def test_noise_is_thermal_noise_of_the_band_and_the_receivers(document: dict[str, Any]) -> None:
    # -174 dBm/Hz + 70 dB for 10 MHz + 7 dB = -97 dBm.
    assert noise_w(scenario_from(document).channel) == pytest.approx(10 ** (-9.7 - 3))


def test_mean_strength_follows_path_loss(document: dict[str, Any]) -> None:
    document["channel"]["shadowing_db"] = 0
    document["access_points"]["positions_m"] = [[0, 0]] * 3
    document["users"]["positions_m"] = [[100, 0]] * 2
    scenario = scenario_from(document)
    strength = np.mean([draw(scenario, i).network.strength for i in range(400)])
    # Two antennas, each with the mean that the loss leaves; 4800 complex normal draws.
    assert strength == pytest.approx(2 * 10**-10.39, rel=0.1)


def test_shadowing_has_its_standard_deviation(document: dict[str, Any]) -> None:
    document["access_points"] |= {"positions_m": [[0, 0]] * 3, "antennas": 64}
    document["users"]["positions_m"] = [[100, 0]] * 2
    scenario = scenario_from(document)
    decibels = [10 * np.log10(draw(scenario, i).network.strength) for i in range(200)]
    assert np.std(decibels) == pytest.approx(8, rel=0.1)
