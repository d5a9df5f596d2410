"""Modules that moved: for this version their old names work, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "gossamer.advice": "gossamer.verbs.advise",
    "gossamer.baselines": "gossamer.verbs.baselines",
    "gossamer.demo_documents": "gossamer.demo.documents",
    "gossamer.exports": "gossamer.verbs.export",
    "gossamer.inspection": "gossamer.verbs.inspect",
    "gossamer.proof": "gossamer.verbs.compare",
    "gossamer.source": "gossamer.models.source",
}
"""From the old names of what results, documents or benchmarks were taken from to the new ones."""


class Moved:
    """Finds and loads modules by their old names, as `sys.meta_path` asks for them."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """Return how to load a module that moved; None for any other."""
        return ModuleSpec(name, self) if name in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make a module, whose place the moved one takes."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the moved module in the place of the one that Python made."""
        old = module.__name__
        warnings.warn(
            f"{old} is {MOVED[old]} now, and the old name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[old] = importlib.import_module(MOVED[old])
