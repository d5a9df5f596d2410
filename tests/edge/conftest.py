"""Small edge systems, drawn by chance from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer.edge.network import Network
from gossamer.edge.problem import Problem, Programme


def _network(seed: int, n: int = 3, k: int = 2, antennas: int = 2) -> Network:
    """Make channels whose mean strength falls with distance in a square of 400 m."""
    random = np.random.default_rng(seed)
    distance = np.maximum(
        np.linalg.norm(
            random.uniform(0, 400, (n, 1, 2)) - random.uniform(0, 400, (1, k, 2)), axis=2
        ),
        10,
    )
    loss_db = 30.5 + 36.7 * np.log10(distance)
    shape = (2, n, k, antennas)
    fading = random.standard_normal(shape) / np.sqrt(2)
    return Network(
        channels=10 ** (-loss_db / 20)[:, :, None] * (fading[0] + 1j * fading[1]),
        noise_w=np.full(k, 2e-13),
        power_limit_w=np.full(n, 1.0),
        efficiency=np.full(n, 0.25),
    )


def _problem(
    seed: int, n: int = 3, k: int = 2, antennas: int = 2, decibels: float = 3.0
) -> Problem:
    """Make a problem whose tasks take 0.05 to 1 W each."""
    compute_w = 10 ** np.random.default_rng(seed + 1000).uniform(-1.3, 0.0, (1, k))
    return Problem(
        Programme(_network(seed, n, k, antennas)),
        np.full(k, 10 ** (decibels / 10)),
        np.tile(compute_w, (n, 1)),
    )


@pytest.fixture
def make_network() -> Callable[..., Network]:
    return _network


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    return _problem


def _document() -> dict[str, Any]:
    """Return a small scenario as YAML gives it."""
    return {
        "access_points": {
            "count": 3,
            "antennas": 2,
            "power_limit_w": 1.0,
            "amplifier_efficiency": 0.25,
        },
        "users": {"count": 2, "sinr_target_db": 3},
        "tasks": {"inferences_per_second": 5, "joules_per_inference": 0.1},
        "channel": {
            "square_m": 300,
            "path_loss_at_1_m_db": 30.5,
            "path_loss_exponent": 3.67,
            "shadowing_db": 8,
            "bandwidth_mhz": 10,
            "noise_figure_db": 7,
        },
        "realisations": 2,
        "seed": 0,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    return _document()


@pytest.fixture(scope="session")
def make_document() -> Callable[[], dict[str, Any]]:
    return _document
