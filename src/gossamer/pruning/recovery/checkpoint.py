"""The checkpoint of a recovery: one file in the user's folder, from which the same call goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gossamer.errors import DataError, OptionError, OutputError
from gossamer.files import as_path
from gossamer.pruning.state_file import write_state
from gossamer.user_code import describe

NAME = "recovery.pt"
# Seconds between two checkpoints: as much work as an interruption may cost.
INTERVAL = 60.0


class Checkpoint:
    """Written now and then, read at the start.

    Args:
        folder: made if it is missing.
        call: what makes one call the same as another; numbers, texts, lists and dictionaries.
        writes: whether this process writes it.

    Attributes:
        trouble: why the last state could not be written, None if it was.

    Raises:
        OutputError: if the folder cannot be made.
    """

    def __init__(self, folder: str | Path, call: Mapping[str, Any], *, writes: bool) -> None:
        self.path = as_path(folder) / NAME
        self._call = dict(call)
        self._writes = writes
        self.trouble: OutputError | None = None
        self._written = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {folder}: {error.strerror}; choose another place"
            ) from error

    def read(self) -> dict[str, Any] | None:
        """Return the state that was kept, or None if there is none yet.

        Raises:
            DataError: if the file cannot be read.
            OptionError: if it is of another call.
        """
        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            call, state = found["call"], found["state"]
            differing = [
                key for key in {**call, **self._call} if call.get(key) != self._call.get(key)
            ]
        except Exception as error:
            raise self.broken(error) from error
        if differing:
            raise OptionError(
                f"{self.path} is of a recovery with other {', '.join(sorted(differing))}; choose "
                "another folder, or remove the file to start anew"
            )
        return dict(state)

    def broken(self, error: Exception) -> DataError:
        """Return what to raise where the file does not hold what it should."""
        return DataError(
            f"{self.path} is not a checkpoint of recovery ({describe(error)}); choose another "
            "folder, or remove the file to start anew"
        )

    def is_due(self) -> bool:
        """Return whether it is time to write the state again."""
        return self._writes and time.monotonic() - self._written >= INTERVAL

    def write(self, state: Mapping[str, Any]) -> None:
        """Write the state; until it is whole, the old file stays. See `trouble`."""
        if not self._writes:
            return
        # Training goes on where it cannot be written, and it is tried again after as long.
        self._written = time.monotonic()
        try:
            write_state({"call": self._call, "state": dict(state)}, self.path)
            self.trouble = None
        except OutputError as error:
            self.trouble = error
