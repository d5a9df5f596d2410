"""The folder that holds a sparse model and all that a device or a reader needs of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import onnx
from numpy.typing import NDArray

from gossamer.errors import OutputError
from gossamer.files import temporary_folder
from gossamer.formats import save, save_onnx
from gossamer.source import SPARSE_FILE, as_onnx

if TYPE_CHECKING:
    from gossamer.pruning import SparsifyResult

Written = TypeVar("Written")

ONNX_FILE = "model.onnx"
RESULT_FILE = "result.json"

# Of a Hugging Face directory, what says how to use the model: configuration, tokenizer, templates.
_KEPT_SUFFIXES = {".json", ".txt", ".model", ".jinja"}


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


def write_model(
    folder: Path, result: SparsifyResult, source: Any, example: Mapping[str, NDArray[Any]]
) -> onnx.ModelProto:
    """Write the sparse file with its graph, the ONNX file, the result, and what the source keeps.

    Args:
        folder: an existing folder, best a temporary one: see `write_folder`.
        result: what `sparsify` returned.
        source: the model that was given to it; a Hugging Face directory's configuration and
            tokenizer are copied.
        example: inputs by name, to trace a module with.

    Returns:
        The ONNX model that was written.
    """
    graph = as_onnx(result.model, example)
    save_onnx(graph, folder / ONNX_FILE)
    if isinstance(result.model, onnx.ModelProto):
        save(graph, folder / SPARSE_FILE)
    else:
        save(result.model, folder / SPARSE_FILE, graph=graph)
    if isinstance(source, str | Path) and Path(source).is_dir():
        _copy_configuration(Path(source), folder)
    told = {**result.to_dict(), "file_sha256": sha256_of(folder / SPARSE_FILE)}
    write_json(folder / RESULT_FILE, told)
    return graph


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as a JSON file that people can read."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal: by it a result knows the file it is of."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _copy_configuration(source: Path, folder: Path) -> None:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        # An index lists the weight files of a model in several parts, which are not copied.
        if hidden or path.suffix not in _KEPT_SUFFIXES or path.name.endswith(".index.json"):
            continue
        if path.is_file():
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)
