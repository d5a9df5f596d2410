"""What every meter offers; a user's own class that has these can be used too."""

from __future__ import annotations

from typing import Literal, Protocol

from gossamer.errors import MeterError

Kind = Literal["measured", "estimated"]


def not_started(name: str) -> MeterError:
    """Return the error of a meter that is stopped before it was started."""
    return MeterError(f"meter {name!r} was not started; call start() first")


class Meter(Protocol):
    """Joules of a window between `start` and `stop`.

    Attributes:
        name: short, unlike those of the other meters used beside it.
        kind: "measured" from a counter of energy, or "estimated" from something else.
        method: how its figure is made, in a few words that begin with `kind`.
        shortest_seconds: the shortest window that it can measure.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def shortest_seconds(self) -> float: ...  # noqa: D102

    def start(self) -> None:
        """Begin a window; a second call begins it anew.

        Raises:
            MeterError: if the counter cannot be read.
        """

    def stop(self) -> float:
        """Return the joules since `start`; may be asked again as the window goes on.

        Raises:
            MeterError: if the counter cannot be read or is not to be trusted, or the window was
                too short for it: never a zero that was not measured.
        """
