"""Folders that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gossamer.errors import OutputError
from gossamer.files import temporary_folder

Written = TypeVar("Written")


def check_folder(folder: Path, *, mark: str | None = None) -> None:
    """Check that `folder` can be written, before the work whose result it is to hold.

    Args:
        folder: must not exist, or be empty, or hold the file `mark`.
        mark: a file by which a folder that may be replaced is known.

    Raises:
        OutputError: if it holds something else, or cannot be written.
    """
    try:
        taken = folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
        if taken and not (mark and (folder / mark).is_file()):
            raise OutputError(f"{folder} exists already; choose a new folder, or remove it first")
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.absolute()):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror}; choose a folder that can be written"
        ) from error


def write_folder(
    folder: Path, write: Callable[[Path], Written], *, mark: str | None = None
) -> Written:
    """Let `write` fill a temporary folder, which becomes `folder` when all of it is there.

    What cannot be written there, for want of space or because it is gone, is written where the
    system keeps temporary files: it may have taken hours to make.

    Returns:
        What `write` returned.

    Raises:
        OutputError: if `folder` holds something already (see `check_folder`), or cannot be written;
            the message says where the result is instead.
    """
    try:
        check_folder(folder, mark=mark)
        return _fill(folder.absolute(), write)
    except OutputError as error:
        refuge = Path(tempfile.mkdtemp(prefix=f"{folder.absolute().name}-")) / folder.name
        try:
            _fill(refuge, write)
        except OutputError:
            refuge.parent.rmdir()
            raise error from None
        raise OutputError(
            f"{str(error).split(';')[0]}; the result is in {refuge} instead: move it from there"
        ) from error


def _fill(folder: Path, write: Callable[[Path], Written]) -> Written:
    with temporary_folder(folder) as place:
        filled = place / "new"
        try:
            filled.mkdir()
            written = write(filled)
            if folder.exists():
                folder.rename(place / "old")
            filled.rename(folder)
        except OSError as error:
            raise OutputError(
                f"cannot write {folder}: {error.strerror or error}; choose another place"
            ) from error
    return written
