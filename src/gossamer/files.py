"""Writing files so that a reader sees the old file or the whole new one, never a part.

What is being written lies in a folder of a name of our own, locked by its writer. The lock ends
with the process, however that ends, so that what a killed one left is known as such and removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gossamer.errors import OptionError, OutputError, shown

try:
    import fcntl
except ImportError:  # Windows: what a killed process left stays.
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".gossamer-part"

# Folders that were looked through already, which need not be for each file that is written.
_swept: set[Path] = set()


def as_path(given: object) -> Path:
    """A path that somebody gave.

    Raises:
        OptionError: if it is none.
    """
    if not isinstance(given, str | os.PathLike):
        raise OptionError(f"a path must be a str or a Path, not {shown(given)}")
    path = os.fspath(given)
    if not isinstance(path, str) or not path or "\0" in path:
        raise OptionError(f"{shown(path)} names no file or folder; give a path")
    return Path(path)


def is_file(path: str | Path) -> bool:
    """Whether there is a file of a name; of one that no file can have there is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of a name; see `is_file`."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path for a new file, which becomes `path` when the block ends well.

    It is on the disk before it bears its name, so that a power failure leaves no half of it either.

    Raises:
        OptionError: if it is no path.
        OutputError: if the folder is missing or cannot be written.
    """
    path = as_path(path)
    if not path.name or "\0" in str(path):
        raise OutputError(f"cannot write {str(path)!r}, which names no file; choose another place")
    with _part_of(path) as folder:
        temporary = folder / path.name
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        except OSError as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror or error}; choose another place or free "
                "some space"
            ) from error


def open_to_readers(path: Path) -> None:
    """Give a file the permissions that any new file has here: safetensors writes private ones."""
    other = path.with_name(f"{path.name}.mode")
    other.touch()
    path.chmod(other.stat().st_mode & 0o777)
    other.unlink()


@contextmanager
def temporary_folder(beside: str | Path | None = None) -> Iterator[Path]:
    """Yield a private folder, which is removed when the block ends, with all that it holds.

    Args:
        beside: makes it lie beside this path, so that what it holds may be renamed to that; by
            default it lies where the system keeps temporary files.

    Raises:
        OutputError: if it cannot be made.
    """
    if beside is None:
        beside = Path(tempfile.gettempdir()) / "run"
    with _part_of(Path(beside)) as folder:
        yield folder


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this user left half written in a folder."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            # Refused where the writer lives.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(handle)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Yield a locked folder beside a path; remove it when the block ends."""
    if path.parent not in _swept:
        _swept.add(path.parent)
        remove_leftovers(path.parent)
    try:
        folder, handle = _make_locked(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _make_locked(path: Path) -> tuple[Path, int | None]:
    """Make a folder of a name that nobody has, and lock it where the system can."""
    while True:
        folder = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
        folder.mkdir(mode=0o700)
        if fcntl is None:
            return folder, None
        handle = -1
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        except OSError:
            # A file system without locks, where nobody gets one to remove anything either.
            return folder, handle if handle >= 0 else None
        if os.fstat(handle).st_nlink > 0:
            return folder, handle
        # Taken for a leftover, before it was locked.
        os.close(handle)
