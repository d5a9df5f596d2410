"""The folder of a job: what was worked out so far, so that an interrupted job goes on.

job.json         what the job is; another job is refused
trials.jsonl     one finished trial a line
database/        solved layers, one sparse file for each layer and level
costs-*.json     measured costs
energy.json      what all of it has taken so far
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossamer.errors import OptionError, OutputError
from gossamer.files import atomic_path, remove_leftovers
from gossamer.formats.json_text import parse_json, read_json
from gossamer.models.adapter import Batch
from gossamer.models.calibration import is_sequence

JOB_FILE = "job.json"
TRIALS_FILE = "trials.jsonl"
ENERGY_FILE = "energy.json"
DATABASE = "database"


class Folder:
    """The folder of one job.

    Args:
        path: a folder; made if it is missing.
        job: what the job is, as JSON-ready values by a word for each.

    Raises:
        OptionError: if the folder holds something else, or another job; the message says in what
            it differs.
        OutputError: if it cannot be written.
    """

    def __init__(self, path: Path, job: Mapping[str, Any]) -> None:
        self.path = path
        marked = path / JOB_FILE
        try:
            path.mkdir(parents=True, exist_ok=True)
            for left in (path, path / DATABASE):
                remove_leftovers(left)
            if marked.is_file():
                self._refuse_other(read_json(marked), job)
                return
            if any(path.iterdir()):
                raise OptionError(
                    f"folder {path} holds something else than an interrupted job; choose a new "
                    "folder"
                )
        except (OSError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            raise OutputError(f"cannot use folder {path}: {error}; choose another") from error
        self.write(JOB_FILE, job)

    def _refuse_other(self, found: Any, job: Mapping[str, Any]) -> None:
        known = found if isinstance(found, dict) else {}
        other = [word for word in job if known.get(word) != job[word]]
        if other:
            raise OptionError(
                f"folder {self.path} holds another job: its {' and '.join(other)} differ; choose a "
                "new folder, or remove it"
            )

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file, whole or not at all."""
        with atomic_path(self.path / name) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def read(self, name: str) -> dict[str, Any] | None:
        """Return what `write` wrote; None if there is nothing of that name, or it is broken."""
        try:
            found = read_json(self.path / name)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def add_trial(self, trial: Mapping[str, Any]) -> None:
        """Append a finished trial.

        Raises:
            OutputError: if the folder cannot be written any more.
        """
        try:
            with (self.path / TRIALS_FILE).open("ab+") as file:
                # A line that was cut off must not swallow this one.
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(json.dumps(trial).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path / TRIALS_FILE}: {error.strerror}; free some space and "
                "start again with the same folder"
            ) from error

    def trials(self) -> list[dict[str, Any]]:
        """Return the finished trials; a line that was cut off by an interruption is left out."""
        try:
            text = (self.path / TRIALS_FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        found = []
        for line in text.splitlines():
            try:
                found.append(parse_json(line))
            except ValueError:
                continue
        return [trial for trial in found if isinstance(trial, dict)]


def digest_of_batches(batches: Sequence[Batch]) -> str:
    """Return a digest of calibration data: other data has another."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in batches:
        for name in sorted(batch):
            for array in batch[name] if is_sequence(batch[name]) else [batch[name]]:
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(array.tobytes())
    return digest.hexdigest()


def short_digest(*parts: Any) -> str:
    """Return a digest of JSON-ready values, short enough for a file's name."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()
