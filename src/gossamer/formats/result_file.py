"""`result.json` beside a sparse file: how the model in this very file came about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gossamer.formats.json_text import read_json

RESULT_FILE = "result.json"
_DIGEST = "file_sha256"


def write_result(told: Mapping[str, Any], stored: Path) -> None:
    """Write how a model came about beside its sparse file, which must be there already."""
    write_json(stored.with_name(RESULT_FILE), {**told, _DIGEST: _sha256_of(stored)})


def read_result(stored: Path) -> dict[str, Any] | None:
    """Return what `write_result` wrote beside a sparse file; None if it is not of this very file.

    Another file may have been put in its place since.
    """
    try:
        told = read_json(stored.with_name(RESULT_FILE))
        return dict(told) if told[_DIGEST] == _sha256_of(stored) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as a JSON file that people can read."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
