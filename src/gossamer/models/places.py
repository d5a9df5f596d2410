"""Where a model lies: which of its forms a path names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gossamer.errors import ModelError
from gossamer.files import is_file, is_folder
from gossamer.models.python_file import is_function

SPARSE_FILE = "model.gossamer.safetensors"
"""What the sparse file is called in a folder that Gossamer writes."""

ONNX_FILE = "model.onnx"
"""What the ONNX file is called there."""

FORMS = (
    "an .onnx file, a sparse Gossamer file, a folder that Gossamer wrote, a Hugging Face "
    "directory, a .pt2 file of torch.export.save, or FILE.py:FUNCTION that returns an nn.Module"
)
"""What names a model, in words."""

Kind = Literal["onnx", "sparse", "hugging_face", "exported", "function"]

_KIND_OF: dict[str, Kind] = {".onnx": "onnx", ".safetensors": "sparse", ".pt2": "exported"}
_CONFIGURATIONS = ("config.json", "adapter_config.json")
# What transformers reads weights from.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Place:
    """A model's form, and its file or directory, or `FILE.py:FUNCTION`."""

    kind: Kind
    path: Path


def find_place(model: str | Path, *, trainable: bool = False) -> Place:
    """Return what a path or `FILE.py:FUNCTION` names.

    A folder may hold a model in several forms. What runs comes first: the sparse file, then a
    Hugging Face model, then `model.onnx`.

    Args:
        model: a path as text or Path; a file need not exist.
        trainable: prefers the Hugging Face model, which is a module and not a graph.

    Raises:
        ModelError: if nothing is there, a folder holds no model, or a file is of another kind.
    """
    if is_function(str(model)):
        return Place("function", Path(model))
    path = Path(model)
    if is_folder(path):
        return _inside(path, trainable)
    kind = _KIND_OF.get(path.suffix)
    if kind is not None:
        return Place(kind, path)
    if not is_file(path):
        raise ModelError(f"{path} does not exist; give {FORMS}")
    raise ModelError(f"{path} is no kind of model that is known; give {FORMS}")


def _inside(folder: Path, trainable: bool) -> Place:
    """Return the form in which a folder holds a model."""
    pretrained = Place("hugging_face", folder)
    complete = has_weights(folder)
    if trainable and complete:
        return pretrained
    if (folder / SPARSE_FILE).is_file():
        return Place("sparse", folder / SPARSE_FILE)
    if complete:
        return pretrained
    if (folder / ONNX_FILE).is_file():
        return Place("onnx", folder / ONNX_FILE)
    if any((folder / name).is_file() for name in _CONFIGURATIONS):
        return pretrained
    raise ModelError(
        f"{folder} holds no model: it has no config.json of a Hugging Face model, no {SPARSE_FILE} "
        f"and no {ONNX_FILE}; give {FORMS}"
    )


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds a Hugging Face model, configuration and weights."""
    return (folder / _CONFIGURATIONS[0]).is_file() and any(
        (folder / f"{name}{index}").is_file() for name in _WEIGHTS for index in ("", ".index.json")
    )
