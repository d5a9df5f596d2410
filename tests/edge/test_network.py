"""What channels carry, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gossamer.edge.network import Network, named, norms
from gossamer.errors import ScenarioError


@pytest.fixture
def network() -> Network:
    """Two access points with one antenna, two users, channels that are easy to reckon with."""
    return Network(
        channels=np.array([[[1.0], [2.0]], [[1.0j], [0.5]]], complex),
        noise_w=np.array([0.5, 1.0]),
        power_limit_w=np.array([1.0, 2.0]),
        efficiency=np.array([0.5, 0.25]),
    )


def test_sinr_is_signal_by_interference_and_noise(network: Network) -> None:
    # User 1 gets 1 and conj(1j) 1j = 1 in phase, and 1 x 1 from what is sent for user 2.
    beams = np.array([[[1.0], [1.0]], [[1.0j], [0.0]]], complex)
    expected = [4.0 / (1.0 + 0.5), 4.0 / (abs(2.0 + 0.5j) ** 2 + 1.0)]
    np.testing.assert_allclose(network.sinr(beams), expected)


def test_power_counts_the_amplifiers_losses(network: Network) -> None:
    beams = np.array([[[1.0], [1.0]], [[2.0j], [0.0]]], complex)
    np.testing.assert_allclose(network.sent_w(beams), [2.0, 4.0])
    assert network.transmit_w(beams) == pytest.approx(2 / 0.5 + 4 / 0.25)
    np.testing.assert_allclose(norms(beams), [[1, 1], [2, 0]])


def test_strength_is_the_channels_squared_length(network: Network) -> None:
    np.testing.assert_allclose(network.strength, [[1, 4], [1, 0.25]])


def test_a_user_whom_nobody_reaches_is_named(network: Network) -> None:
    channels = network.channels.copy()
    channels[:, 1] = 0
    with pytest.raises(ScenarioError, match=r"channels of user 2 are all zero.*leave such users"):
        replace(network, channels=channels)


@pytest.mark.parametrize("name", ["noise_w", "power_limit_w", "efficiency"])
def test_sizes_must_match(network: Network, name: str) -> None:
    with pytest.raises(ScenarioError, match=rf"{name} has shape \(3,\); give one number.*2 in all"):
        replace(network, **{name: np.ones(3)})


@pytest.mark.parametrize("name", ["noise_w", "power_limit_w", "efficiency"])
@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan, np.inf])
def test_powers_are_finite_and_above_zero(network: Network, name: str, bad: float) -> None:
    with pytest.raises(ScenarioError, match=f"{name} holds .*; give finite numbers above zero"):
        replace(network, **{name: np.array([0.5, bad])})


def test_no_amplifier_gives_more_than_it_takes(network: Network) -> None:
    with pytest.raises(ScenarioError, match="efficiency is above 1"):
        replace(network, efficiency=np.array([25.0, 0.25]))


@pytest.mark.parametrize("shape", [(2, 2), (0, 2, 1), (2, 0, 1)])
def test_channels_have_three_axes(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(ScenarioError, match=r"give .access points, users, antennas"):
        replace(network, channels=np.ones(shape, complex))


def test_channels_are_finite(network: Network) -> None:
    with pytest.raises(ScenarioError, match="not finite"):
        replace(network, channels=np.full((2, 2, 1), np.nan + 0j))


def test_people_count_from_one() -> None:
    assert named("user", [0]) == "user 1"
    assert named("user", np.array([1, 4])) == "users 2, 5"
