"""What each operator of ONNX is, one file an operator or family: types, shapes, axes, work.

A file says `OPERATORS`: facts by the operator's name. `runtime/ops/` says how the same operators
run, in files of the same names.
"""

from __future__ import annotations

import importlib
import pkgutil

from gossamer.graphs.operation import Operation
from gossamer.graphs.operator import Operator


def _collected() -> dict[str, Operator]:
    found: dict[str, Operator] = {}
    for module in pkgutil.iter_modules(__path__):
        more = importlib.import_module(f"{__name__}.{module.name}").OPERATORS
        assert not found.keys() & more.keys(), f"{module.name} has an operator of another file"
        found |= more
    return found


OPERATORS = _collected()
"""The facts of every operator that is known, by its name; with its domain before it, and a dot, if
it is not of ONNX's own set."""

_UNKNOWN = Operator()


def facts(node: Operation) -> Operator:
    """What is known of a node's operator."""
    name = f"{node.domain}.{node.op}" if node.domain else node.op
    return OPERATORS.get(name, _UNKNOWN)
