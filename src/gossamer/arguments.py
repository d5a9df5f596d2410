"""Arguments, as Python takes them from whoever calls a verb: of the right kind, or one line."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable

import numpy as np

from gossamer.errors import OptionError, shown

# What libraries in C take for a whole number.
_MOST = 2**63 - 1
# Seconds that systems can wait for.
_LONGEST = 1e9


def number(argument: str, given: object, fits: Callable[[float], bool], wanted: str) -> float:
    """One finite number, of Python, numpy or torch.

    Args:
        argument: what it is called in an error.
        given: the number; True and False are none, nor is a text.
        fits: whether a number is in range.
        wanted: what to give, for the error.

    Raises:
        OptionError: if it is none, or not in range.
    """
    found = _float(given)
    if not (math.isfinite(found) and fits(found)):
        raise OptionError(f"{argument} is {shown(given)}; give {wanted}")
    return found


def seconds(argument: str, given: object) -> float:
    """A time that something may take, or takes at least; see `number`."""
    return number(argument, given, lambda it: 0 <= it <= _LONGEST, "seconds, 0 to a billion")


def whole(argument: str, given: object, least: int) -> int:
    """One whole number; see `number`.

    Args:
        argument: what it is called in an error.
        given: the number.
        least: that it may be.

    Raises:
        OptionError: if it is none, is less, or is more than 64 bits hold.
    """
    try:
        found = least - 1 if _is_flag(given) else operator.index(given)  # type: ignore[arg-type]
    except Exception:  # What a stranger's object does when it is asked is its own code.
        found = least - 1
    if not least <= found <= _MOST:
        wanted = f"from {least} to {_MOST}" if found > _MOST else f"from {least} up"
        raise OptionError(f"{argument} is {shown(given)}; give a whole number {wanted}")
    return found


def check_function(argument: str, given: object, wanted: str) -> None:
    """See that what is to be called later can be called.

    Args:
        argument: what it is called in an error.
        given: the function; None where none is given.
        wanted: from what to what it is, for the error.

    Raises:
        OptionError: if it is neither.
    """
    if given is not None and not callable(given):
        raise OptionError(f"{argument} is {shown(given)}; give a function {wanted}")


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
        raise OptionError(f"{argument}= must be a name or a list of names, not {shown(given)}")
    return [str(name) for name in found]


def numbers(argument: str, given: object) -> list[float]:
    """Several numbers.

    Raises:
        OptionError: if they are none; see `names`.
    """
    refused = OptionError(f"{argument}= must be a list of numbers, not {shown(given)}")
    found = _list(given)
    if found is None:
        raise refused
    converted = [_float(one) for one in found]
    if any(map(math.isnan, converted)):
        raise refused
    return converted


def _list(given: object) -> list[object] | None:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        return None
    try:
        return list(given)
    except TypeError:
        # An array of one number is iterable by its type.
        return None


def _float(given: object) -> float:
    """Return a number as Python's; NaN for what is none."""
    if _is_flag(given) or isinstance(given, str | bytes):
        return math.nan
    try:
        return float(given)  # type: ignore[arg-type]
    except Exception:  # What a stranger's object does when it is asked is its own code.
        return math.nan


def _is_flag(given: object) -> bool:
    return isinstance(given, bool | np.bool_)
