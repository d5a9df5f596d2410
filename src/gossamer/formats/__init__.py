"""Files: the sparse safetensors file with or without its ONNX graph, and ONNX in and out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gossamer.formats.sparse_file import SparseFile, load, save

if TYPE_CHECKING:
    from gossamer.formats.onnx_io import load_onnx, save_onnx

__all__ = ["SparseFile", "load", "load_onnx", "save", "save_onnx"]


def __getattr__(name: str) -> Any:
    """Import onnx when it is first used: a state dict is loaded without it."""
    if name in ("load_onnx", "save_onnx"):
        return getattr(importlib.import_module("gossamer.formats.onnx_io"), name)
    raise AttributeError(f"module 'gossamer.formats' has no attribute {name!r}")
