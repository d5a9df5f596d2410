"""The private on-disk cache of compiled kernels and tuning results."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

from gossamer.errors import OutputError
from gossamer.files import atomic_path

# Of the code before each content.
_CODE_BYTES = hashlib.sha256().digest_size


@cache
def folder() -> Path | None:
    """Where the cache lies, or None where no private folder can be had.

    `GOSSAMER_CACHE` names another place; the default is the user's cache folder. Object code is
    loaded from here, so the folder must belong to this user and be writable by nobody else.
    """
    chosen = os.environ.get("GOSSAMER_CACHE")
    if chosen:
        place = Path(chosen)
    elif sys.platform == "win32":
        place = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "gossamer"
    else:
        place = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gossamer"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = place.stat()
    except OSError:
        return None
    if hasattr(os, "getuid"):
        shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if status.st_uid != os.getuid() or shared:
            return None
    return place


def read(name: str) -> bytes | None:
    """What was kept under a name, or None; what is damaged counts as not kept."""
    place = folder()
    if place is None:
        return None
    try:
        kept = (place / name).read_bytes()
    except OSError:
        return None
    code, content = kept[:_CODE_BYTES], kept[_CODE_BYTES:]
    return content if code == _code(content) else None


def write(name: str, content: bytes) -> None:
    """Keep content under a name, if there is a place for it: a cache that fails costs only time."""
    place = folder()
    if place is None:
        return
    try:
        with atomic_path(place / name) as temporary:
            temporary.write_bytes(_code(content) + content)
    except OutputError:
        return


def _code(content: bytes) -> bytes:
    """What stands before content, so that any damage to it shows: object code is run unchecked."""
    return hashlib.sha256(content).digest()
