"""Trilu: what lies on one side of a diagonal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gossamer.graphs.axes import Axes, along, labels_of
from gossamer.graphs.elementwise import same
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of
from gossamer.graphs.operator import Operator


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    diagonal = int(data_of(node, 1).reshape(())) if node.input(1) is not None else 0
    cut: Any = np.triu if node.attributes.get("upper", 1) else np.tril
    return [cut(data_of(node, 0), diagonal)]


def _axes(node: Operation, opset: int) -> Axes:
    found = along(node, opset)
    return replace(found, opaque=labels_of((found.inputs[0] or ())[-2:]))


OPERATORS = {"Trilu": Operator(same, _axes, exact=_exact)}
