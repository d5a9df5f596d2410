"""The folder that holds a sparse model and all that a device or a reader needs of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from gossamer.errors import OutputError
from gossamer.formats import save, save_onnx
from gossamer.source import SPARSE_FILE, as_onnx

if TYPE_CHECKING:
    from gossamer.pruning import SparsifyResult

ONNX_FILE = "model.onnx"
RESULT_FILE = "result.json"

# Of a Hugging Face directory, what says how to use the model: configuration, tokenizer, templates.
_KEPT_SUFFIXES = {".json", ".txt", ".model", ".jinja"}


def check_folder(folder: Path) -> None:
    """Check that `folder` can be made, before the work whose result it is to hold.

    Raises:
        OutputError: if it exists and is not an empty folder, or its parent cannot be written.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise OutputError(f"{folder} exists already; choose a new folder, or remove it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.").cleanup()
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror}; choose a folder that can be written"
        ) from error


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, which becomes `folder` when all of it is there.

    Raises:
        OutputError: if `folder` holds something already, or cannot be written.
    """
    check_folder(folder)
    try:
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True
        ) as name:
            filled = Path(name) / folder.name
            filled.mkdir()
            write(filled)
            filled.replace(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror}; choose another place or free some space"
        ) from error


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
    text = json.dumps(result.to_dict(), indent=2) + "\n"
    (folder / RESULT_FILE).write_text(text, encoding="utf-8")
    return graph


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
