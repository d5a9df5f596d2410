"""Gossamer: make trained models sparse, run them so that the zeros save energy, prove how much."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from gossamer import errors
from gossamer.engines import ENGINES
from gossamer.moved import Moved
from gossamer.version import __version__ as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from gossamer.engines import OpenModel
    from gossamer.integrations.onnxruntime import InferenceSession
    from gossamer.pruning.sparsifier import Sparsifier
    from gossamer.verbs.advise import advise
    from gossamer.verbs.compare import compare
    from gossamer.verbs.compile import compile
    from gossamer.verbs.export import export
    from gossamer.verbs.inspect import inspect
    from gossamer.verbs.load import load
    from gossamer.verbs.recover import recover
    from gossamer.verbs.save import save
    from gossamer.verbs.sparsify import sparsify

__all__ = [
    "InferenceSession",
    "Sparsifier",
    "advise",
    "compare",
    "compile",
    "errors",
    "export",
    "inspect",
    "load",
    "recover",
    "save",
    "sparsify",
]


def __dir__() -> list[str]:
    """List the verbs though they are not imported yet: shells and editors complete by it."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used, so that `import gossamer` stays instant."""
    if name == "Sparsifier":
        # Apart from the verbs, as it needs torch.
        from gossamer.extras import needed_for

        with needed_for("sparse training"):
            return importlib.import_module("gossamer.pruning.sparsifier").Sparsifier
    if name == "InferenceSession":
        return importlib.import_module("gossamer.integrations.onnxruntime").InferenceSession
    if name in __all__:
        return getattr(importlib.import_module(f"gossamer.verbs.{name}"), name)
    raise AttributeError(f"module 'gossamer' has no attribute {name!r}")


def _open(path: Path, threads: int) -> OpenModel:
    """Open a model file in the engine of this package, which is imported when it is first used."""
    from gossamer.verbs.engine import open_file

    return open_file(path, threads)


ENGINES["gossamer"] = _open
sys.meta_path.append(Moved())
