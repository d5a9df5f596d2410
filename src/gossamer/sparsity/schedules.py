"""Schedules: how sparsity grows while a model trains."""

from __future__ import annotations

from collections.abc import Callable

from gossamer.sparsity.registry import named

Schedule = Callable[[float], float]
"""From the progress of the ramp, 0 to 1, to the fraction of the final sparsity at that moment."""


def constant(progress: float) -> float:
    """All of the sparsity from the start of the ramp on."""
    return 1.0


def linear(progress: float) -> float:
    """Equally many weights go in every step."""
    return progress


def cubic(progress: float) -> float:
    """Many weights go early, while the others can still make up for them, and few at the end.

    Zhu, Gupta: To prune, or not to prune, 2017 (equation 1) with an initial sparsity of 0:
    `1 - (1 - progress)^3`.
    """
    return 1.0 - (1.0 - progress) ** 3


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "cubic": cubic}


def get_schedule(name: str) -> Schedule:
    """Return the schedule of that name: `constant`, `linear` or `cubic`.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("schedule", name, SCHEDULES)
