"""The radio side: channels, what they carry, and what sending takes.

N access points with L antennas each send to K users with one antenna each. A beamformer says with
which amplitude and phase each antenna sends a user's answer; several access points that hold the
same answer send it in phase, which is why running a task twice saves transmit power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ScenarioError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Network:
    """Access points, users, and the channels between them.

    Attributes:
        channels: complex `[N, K, L]`, amplitude at a user by amplitude at an antenna.
        noise_w: `[K]`, watts of noise at each user.
        power_limit_w: `[N]`, watts that an access point may send.
        efficiency: `[N]`, watts sent by watts drawn, above 0 and at most 1.

    Raises:
        ScenarioError: if sizes do not match, a number is not finite or out of its range, or a user
            hears no access point at all.
    """

    channels: Array
    noise_w: Array
    power_limit_w: Array
    efficiency: Array

    def __post_init__(self) -> None:
        if self.channels.ndim != 3 or 0 in self.channels.shape:
            raise ScenarioError(
                f"channels have shape {self.channels.shape}; give [access points, users, antennas]"
            )
        n, k, _ = self.channels.shape
        _check("noise_w", self.noise_w, k, "user")
        _check("power_limit_w", self.power_limit_w, n, "access point")
        _check("efficiency", self.efficiency, n, "access point")
        if (self.efficiency > 1).any():
            raise ScenarioError("efficiency is above 1; give watts sent by watts drawn, 0 to 1")
        if not np.isfinite(self.channels).all():
            raise ScenarioError("channels hold a number that is not finite; give finite ones")
        silent = np.flatnonzero(~self.strength.any(axis=0))
        if silent.size:
            raise ScenarioError(
                f"the channels of {named('user', silent)} are all zero: no access point can be "
                "heard there; leave such users out, or give them a channel"
            )

    @property
    def access_points(self) -> int:
        """N."""
        return int(self.channels.shape[0])

    @property
    def users(self) -> int:
        """K."""
        return int(self.channels.shape[1])

    @property
    def strength(self) -> Array:
        """`[N, K]`, ||h_nk||^2: power at a user by power sent towards it."""
        strength: Array = (np.abs(self.channels) ** 2).sum(axis=2)
        return strength

    def sinr(self, beams: Array) -> Array:
        """Return `[K]`, each user's signal power by that of interference and noise.

        Args:
            beams: complex `[N, K, L]`, the beamformers, in the square root of watts.
        """
        # received[k, j]: amplitude at user k of what is sent for user j.
        received = np.einsum("nkl,njl->kj", self.channels.conj(), beams)
        power = np.abs(received) ** 2
        signal = np.diag(power)
        sinr: Array = signal / (power.sum(axis=1) - signal + self.noise_w)
        return sinr

    def sent_w(self, beams: Array) -> Array:
        """Return `[N]`, watts that each access point sends."""
        sent: Array = (norms(beams) ** 2).sum(axis=1)
        return sent

    def transmit_w(self, beams: Array) -> float:
        """Return the watts that sending draws, amplifiers' losses included."""
        return float((self.sent_w(beams) / self.efficiency).sum())


def norms(beams: Array) -> Array:
    """Return `[N, K]`, ||v_nk|| of complex beamformers `[N, K, L]`."""
    length: Array = np.linalg.norm(beams, axis=2)
    return length


def named(what: str, indices: Any) -> str:
    """Return "user 3" or "users 1, 3": numbered from 1, as people count."""
    numbers = [str(int(index) + 1) for index in indices]
    return f"{what}{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _check(name: str, values: Array, length: int, what: str) -> None:
    if values.shape != (length,):
        raise ScenarioError(
            f"{name} has shape {values.shape}; give one number for each {what}, {length} in all"
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise ScenarioError(f"{name} holds {values.min():g}; give finite numbers above zero")
