"""Arguments that are lists, as Python takes them from whoever calls a verb."""

from __future__ import annotations

from collections.abc import Iterable

from gossamer.errors import OptionError


def names(argument: str, given: object) -> list[str]:
    """One name or several.

    Args:
        argument: what it is called in an error.
        given: a text, or any iterable of texts.

    Raises:
        OptionError: if it is neither.
    """
    if isinstance(given, str):
        return [given]
    found = _list(given)
    if found is None or not all(isinstance(name, str) for name in found):
        raise OptionError(f"{argument}= must be a name or a list of names, not {given!r}")
    return [str(name) for name in found]


def numbers(argument: str, given: object) -> list[float]:
    """Several numbers.

    Raises:
        OptionError: if they are none; see `names`.
    """
    refused = OptionError(f"{argument}= must be a list of numbers, not {given!r}")
    found = _list(given)
    if found is None:
        raise refused
    try:
        return [float(number) for number in found]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise refused from None


def _list(given: object) -> list[object] | None:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        return None
    try:
        return list(given)
    except TypeError:
        # An array of one number is iterable by its type.
        return None
