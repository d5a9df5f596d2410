"""What can go wrong, as exceptions whose message is one line naming the thing and the remedy."""

from __future__ import annotations

from typing import Any


class GossamerError(Exception):
    """Base of every error that Gossamer raises on purpose.

    Its message is one line, also where it shows an array or another library's words.
    """

    def __str__(self) -> str:
        return " ".join(line.strip() for line in super().__str__().splitlines())


class ModelError(GossamerError):
    """A model that cannot be read, is broken, or holds what Gossamer does not handle."""


class UnsafeModelError(ModelError):
    """A model that no engine may be given: it would end the process, or take all of its memory."""


class DataError(GossamerError):
    """Calibration data, inputs or feeds that do not fit the model."""


class EvaluationError(GossamerError):
    """An evaluation function that raised or did not return a usable score."""


class OptionError(GossamerError, ValueError):
    """An argument outside its range, or arguments that contradict each other."""


class OutputError(GossamerError):
    """A result that cannot be written where it was asked for."""


class MeterError(GossamerError):
    """A meter that cannot measure: no counter, no permission, or too short a window."""


class ScenarioError(GossamerError):
    """A scenario of edge inference that is malformed, or whose values make no sense."""


class InfeasibleError(ScenarioError):
    """SINR targets that no placement meets within the power limits.

    Attributes:
        users: numbers, from 0, of those that fall short.
        largest_common_sinr_db: what all users alike could have.
    """

    def __init__(self, message: str, users: list[int], largest_common_sinr_db: float) -> None:
        super().__init__(message)
        self.users = users
        self.largest_common_sinr_db = largest_common_sinr_db

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.users, self.largest_common_sinr_db)


class SolverError(GossamerError):
    """A cone programme that no solver could decide: neither solved nor shown to be infeasible."""


# Characters of an argument that an error shows.
_SHOWN = 200


def shown(given: object) -> str:
    """Return an argument as an error shows it: on one line that can be read, whatever it is."""
    try:
        words = " ".join(repr(given).split())
    except Exception:  # What it says of itself is its own code.
        words = f"<{type(given).__name__}>"
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
