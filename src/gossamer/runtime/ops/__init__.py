"""How each operator runs in generated code, in files of the same names as in `graphs/ops/`.

A file says `NATIVE`: how its operators run, by name, with their domain before it and a dot where
they are not of ONNX's own set.
"""

from __future__ import annotations

import importlib
import pkgutil

from gossamer.runtime.graph import Node
from gossamer.runtime.native import LEFT, Native


def _collected() -> dict[str, Native]:
    found: dict[str, Native] = {}
    for module in pkgutil.iter_modules(__path__):
        more = importlib.import_module(f"{__name__}.{module.name}").NATIVE
        assert not found.keys() & more.keys(), f"{module.name} has an operator of another file"
        found |= more
    return found


NATIVE = _collected()
"""How every operator that is known runs."""


def native(node: Node) -> Native:
    """How a node's operator runs."""
    name = f"{node.domain}.{node.op}" if node.domain else node.op
    return NATIVE.get(name, LEFT)
