"""Where access points and users stand, and the channels between them; all of it from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.network import Network
from gossamer.edge.scenario import Channel, Scenario

Array = NDArray[Any]

# Thermal noise at 290 K, in dB of a milliwatt for each hertz.
_THERMAL_DBM_PER_HZ = -174.0


@dataclass(frozen=True, eq=False)
class Realisation:
    """One draw of a scenario's chance.

    Attributes:
        access_points_m: `[N, 2]`, where they stand in the square.
        users_m: `[K, 2]`.
        network: the channels between them.
    """

    access_points_m: Array
    users_m: Array
    network: Network


def draw(scenario: Scenario, number: int) -> Realisation:
    """Return a realisation: the same scenario and number always give the same.

    Positions are uniform over the square where the scenario gives none. A channel's amplitude is

        10^(-(PL(d) + X) / 20) g,    PL(d) = PL_1m + 10 a log10(d / 1 m) in dB,

    with d the distance, X normal shadowing of the link and g Rayleigh fading: complex normal, of
    unit variance and independent for each antenna.

    Args:
        scenario: of which one draw is wanted.
        number: 0 or more.
    """
    random = np.random.default_rng([scenario.seed, number])
    side = scenario.channel.square_m
    n, k = scenario.access_points.count, scenario.users.count
    # All that chance may say is drawn, so that positions given do not change the fading.
    places = random.uniform(0, side, (n + k, 2))
    normal = random.standard_normal((n, k))
    fading = random.standard_normal((2, n, k, scenario.access_points.antennas)) / np.sqrt(2)
    ours, theirs = scenario.access_points.positions_m, scenario.users.positions_m
    points = places[:n] if ours is None else np.array(ours)
    users = places[n:] if theirs is None else np.array(theirs)
    distance = np.linalg.norm(points[:, None] - users[None], axis=2)
    loss_db = path_loss_db(scenario.channel, distance) + scenario.channel.shadowing_db * normal
    amplitude = 10 ** (-loss_db / 20)
    network = Network(
        channels=amplitude[:, :, None] * (fading[0] + 1j * fading[1]),
        noise_w=np.full(k, noise_w(scenario.channel)),
        power_limit_w=np.array(scenario.access_points.power_limit_w),
        efficiency=np.array(scenario.access_points.amplifier_efficiency),
    )
    return Realisation(points, users, network)


def path_loss_db(channel: Channel, distance_m: Array) -> Array:
    """Return the mean loss over a distance; nearer than `nearest_m` counts as `nearest_m`."""
    distance = np.maximum(distance_m, channel.nearest_m)
    loss: Array = channel.path_loss_at_1_m_db + 10 * channel.path_loss_exponent * np.log10(distance)
    return loss


def noise_w(channel: Channel) -> float:
    """Return the watts of noise at a user: thermal noise of the band, and the receiver's own."""
    bandwidth_db = 10 * np.log10(1e6 * channel.bandwidth_mhz)
    return float(10 ** ((_THERMAL_DBM_PER_HZ + bandwidth_db + channel.noise_figure_db - 30) / 10))
