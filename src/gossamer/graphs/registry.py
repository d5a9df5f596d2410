"""Registries of operators: what the files of a folder say of theirs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from gossamer.graphs.operation import Operation


def collected(package: str, path: Iterable[str], table: str) -> dict[str, Any]:
    """What every module of a package holds in a table by operators' names.

    Args:
        package: its name.
        path: its folders, `__path__`.
        table: what the tables are called.

    Raises:
        AssertionError: if two modules have one operator.
    """
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(path):
        more = getattr(importlib.import_module(f"{package}.{module.name}"), table)
        assert not found.keys() & more.keys(), f"{module.name} has an operator of another file"
        found |= more
    return found


def registered_name(node: Operation) -> str:
    """The name under which a node's operator is registered: with its domain before it, and a dot,
    if it is not of ONNX's own set."""
    return f"{node.domain}.{node.op}" if node.domain else node.op
