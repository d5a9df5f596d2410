"""Reading a sparse file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gossamer import formats
from gossamer.files import as_path, is_folder
from gossamer.models.source import sparse_file

if TYPE_CHECKING:
    from gossamer.formats import SparseFile


def load(path: str | Path) -> SparseFile:
    """Read a sparse file and check all of it.

    Args:
        path: of the file, or of a folder that Gossamer wrote.

    Returns:
        The file, whose tensors stay encoded until they are asked for: `state_dict()`, `arrays()`,
        `onnx()`.

    Raises:
        ModelError: if the file is missing, truncated, damaged or tampered with, of an unknown
            version, or not written by Gossamer.
    """
    # Whatever a file is called, it may be a sparse one.
    inside = sparse_file(path) if is_folder(as_path(path)) else None
    return formats.load(inside or path)
