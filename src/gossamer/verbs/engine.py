"""Gossamer as one of the engines that are measured."""

from __future__ import annotations

from pathlib import Path

from gossamer.energy.engines import checked_feeds
from gossamer.engines import OpenModel
from gossamer.verbs.compile import compile


def open_file(path: Path, threads: int) -> OpenModel:
    """Compile a model file; see `gossamer.engines.Opener`."""
    session = compile(path, threads=threads)
    names = [value.name for value in session.get_inputs()]
    return OpenModel(
        lambda feeds: list(session.run(None, checked_feeds(feeds, names, path))),
        session.close,
        session.engine,
    )
