"""What all verbs of the command line share: errors in its words, signals, JSON alone on stdout."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import typer

from gossamer.errors import GossamerError
from gossamer.user_code import describe, passed_through, users_traceback

# Parameters of functions whose option has another name.
_OPTIONS = {"example_inputs": "--inputs", "threads": "--threads"}


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        app: the verbs.
        arguments: by default those that the process was started with.

    Raises:
        SystemExit: always, as command lines do: 0 when all went well, 2 on bad input, 128 and the
            signal's number when it was told to end.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _ended_by(signal.SIGINT), _ended_by(signal.SIGTERM), _stdout_for_json(given):
        try:
            app(given, prog_name="gossamer")
        except GossamerError as error:
            print(f"gossamer: {in_options(app, given, str(error))}", file=sys.stderr)
            if users := users_traceback(error):
                print(users, file=sys.stderr)
            raise SystemExit(2) from error
        except SystemExit as error:
            if not passed_through(error):
                raise
            print(
                f"gossamer: the user's code ends the program ({describe(error)}); leave out what "
                "does so, such as sys.exit()",
                file=sys.stderr,
            )
            raise SystemExit(2) from error
        except _Ended as ended:
            print(f"gossamer: {_how_to_go_on(app, given)}", file=sys.stderr)
            raise SystemExit(ended.code) from None


class _Ended(BaseException):
    """A signal told the process to end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def _ended_by(number: signal.Signals) -> Iterator[None]:
    """Let a signal unwind what runs, so that what is half done is cleared away."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended(128 + number)

    before = signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, before)


def in_options(app: typer.Typer, arguments: Sequence[str], message: str) -> str:
    """Return what a function says of its parameters in the words of the command line, in one line.

    `max_drop=0.1` becomes `--max-drop 0.1`.
    """
    options = dict(_OPTIONS)
    for parameter in getattr(_verb(app, arguments), "params", ()):
        options[parameter.name] = max(parameter.opts, key=len)

    def option(found: re.Match[str]) -> str:
        name, value = options.get(found[1]), found[2]
        if name is None or not name.startswith("--"):
            return found[0]
        return f"{name} {value}" if value else name

    return re.sub(r"\b([a-z]\w*)=(?!=)([^\s,;)]*)", option, " ".join(message.split()))


def _how_to_go_on(app: typer.Typer, arguments: Sequence[str]) -> str:
    """Return what is said when a verb was ended from outside."""
    resumes = any(one.name == "folder" for one in getattr(_verb(app, arguments), "params", ()))
    if not resumes:
        return "ended before it was done; nothing was written"
    if any(one.split("=")[0] == "--folder" for one in arguments):
        return "ended before it was done; the same command goes on from what --folder holds"
    return (
        "ended before it was done; nothing was kept: with --folder DIR the same command would go "
        "on from what was worked out"
    )


def _verb(app: typer.Typer, arguments: Sequence[str]) -> Any:
    """Return the command that the arguments name, if they name one."""
    name = next((one for one in arguments if not one.startswith("-")), "")
    return getattr(typer.main.get_command(app), "commands", {}).get(name)


# Where JSON goes while everything else that is printed goes to standard error.
_json: TextIO | None = None


@contextmanager
def _stdout_for_json(arguments: Sequence[str]) -> Iterator[None]:
    """With --json, keep standard output for `print_json`: users' files and libraries print too."""
    global _json
    if "--json" not in arguments:
        yield
        return
    before = sys.stdout
    before.flush()
    if before is not sys.__stdout__:
        # Not the process's own: nothing else than Python's print can reach it.
        _json, sys.stdout = before, sys.stderr
        try:
            yield
        finally:
            sys.stdout, _json = before, None
        return
    kept = os.dup(1)
    with os.fdopen(kept, "w", encoding="utf-8") as opened:
        os.dup2(2, 1)
        _json, sys.stdout = opened, sys.stderr
        try:
            yield
        finally:
            opened.flush()
            os.dup2(kept, 1)
            sys.stdout, _json = before, None


def print_json(document: Any) -> None:
    """Print a result for programs."""
    print(json.dumps(document, indent=2, allow_nan=False), file=_json or sys.stdout, flush=True)
