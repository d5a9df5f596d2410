"""Errors in a user's own code, which Gossamer calls: where they are, and the traceback of it alone.

An exception's traceback begins where it was caught. So what Gossamer catches from a function of the
user's shows frames of Gossamer, of the user's files and of libraries; the user's are told.
"""

from __future__ import annotations

import sysconfig
import traceback
from functools import cache
from pathlib import Path

_OURS = Path(__file__).resolve().parent
_PACKAGES = {"site-packages", "dist-packages"}
# Code that people type, which lies in no file.
_TYPED = ("<stdin>", "<string>", "<console>", "<ipython-input")


def describe(error: BaseException) -> str:
    """Return an exception's type, the first line of its message, and its place in a user's code."""
    lines = str(error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    if not frames:
        return told
    return f"{told} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def passed_through(error: BaseException) -> bool:
    """Return whether an exception came out of a user's code."""
    return any(map(_is_users, traceback.extract_tb(error.__traceback__)))


def users_traceback(error: BaseException) -> str:
    """Return the part of a traceback that shows the user's code; empty where there is none.

    It is that of the first cause that passed through the user's code: their frames, and the last
    one below if it is of a library.

    Args:
        error: as Gossamer raised it, from what it caught.
    """
    cause = error.__cause__
    while cause is not None:
        told = traceback.TracebackException.from_exception(cause)
        if any(map(_is_users, told.stack)) or isinstance(cause, SyntaxError):
            _trim(told)
            return "".join(told.format()).rstrip()
        cause = cause.__cause__
    return ""


def _trim(told: traceback.TracebackException) -> None:
    """Leave the user's frames, here and in the causes that passed through their code."""
    below = [frame for frame in told.stack[-1:] if not _is_users(frame) and not _is_ours(frame)]
    told.stack[:] = [*filter(_is_users, told.stack), *below]
    for name in ("__cause__", "__context__"):
        before = getattr(told, name)
        if before is not None and any(map(_is_users, before.stack)):
            _trim(before)
        else:
            setattr(told, name, None)


def _is_users(frame: traceback.FrameSummary) -> bool:
    if frame.filename.startswith("<"):
        return frame.filename.startswith(_TYPED)
    return not _is_ours(frame) and not _is_of_a_library(frame.filename)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).resolve().is_relative_to(_OURS)


@cache
def _is_of_a_library(file: str) -> bool:
    path = Path(file).resolve()
    standard = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return bool(_PACKAGES & set(path.parts)) or any(
        path.is_relative_to(Path(folder).resolve()) for folder in standard
    )
