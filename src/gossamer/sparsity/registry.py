"""Finding a pattern, score, solver or allocation by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from gossamer import arguments
from gossamer.errors import OptionError, shown

T = TypeVar("T")


def named(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return `known[name]`.

    Raises:
        OptionError: if there is no such name; the message lists those that there are.
    """
    if not isinstance(name, str) or name not in known:
        raise OptionError(
            f"unknown {kind} {shown(name)}; choose one of: {', '.join(sorted(known))}"
        )
    return known[name]


def checked_sparsity(sparsity: float) -> float:
    """Return `sparsity` as a float.

    Raises:
        OptionError: if it is not a number from 0 to 1.
    """
    return arguments.number(
        "sparsity", sparsity, lambda it: 0 <= it <= 1, "the fraction of zeros, a number from 0 to 1"
    )
