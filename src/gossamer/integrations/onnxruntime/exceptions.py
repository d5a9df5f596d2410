"""Errors for those who catch ONNX Runtime's: each is ours, and one of those besides."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gossamer.errors import DataError, GossamerError, OptionError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_CLASSES: dict[tuple[Any, ...], Any] = {}


def as_onnxruntime_raises(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what a function raises of ours be what ONNX Runtime would raise, too."""

    @functools.wraps(function)
    def raising(*positional: _P.args, **named: _P.kwargs) -> _R:
        try:
            return function(*positional, **named)
        except GossamerError as error:
            raise both(error).with_traceback(error.__traceback__) from error.__cause__

    return raising


def both(error: GossamerError, kind: str = "Fail") -> GossamerError:
    """An error of the same type and words that is one of ONNX Runtime's besides.

    That is what ONNX Runtime said, if it is the cause, and else what it would say: of inputs and
    outputs that a model does not have or take `InvalidArgument`, or ValueError where one is
    missing; of all else the `kind`. Where onnxruntime is not installed nobody catches its errors.
    """
    if isinstance(error, _Both):
        return error
    try:
        from onnxruntime.capi import onnxruntime_pybind11_state as theirs
    except ImportError:
        return error
    ours, cause = type(error), type(error.__cause__)
    kinds = [getattr(theirs, kind)]
    if cause.__module__ == theirs.__name__:
        kinds = [cause]
    elif isinstance(error, DataError | OptionError):
        kinds = [theirs.InvalidArgument, ValueError]
    key = ours, *kinds
    if key not in _CLASSES:
        added = [kind for kind in kinds if not issubclass(ours, kind)]
        named = {"_ours": ours, "__module__": ours.__module__}
        _CLASSES[key] = type(ours.__name__, (_Both, ours, *added), named)
    made: GossamerError = _CLASSES[key](*error.args)
    return made


class _Both:
    """What is of both kinds; to other processes it goes as ours alone."""

    _ours: type[GossamerError]

    def __reduce__(self) -> tuple[Any, ...]:
        return self._ours, self.args  # type: ignore[attr-defined]
