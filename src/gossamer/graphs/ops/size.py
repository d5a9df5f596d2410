"""Size: how many elements a tensor has."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.axes import made
from gossamer.graphs.dims import product
from gossamer.graphs.elementwise import INT64
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(INT64, ())]


def _content(node: Operation, inferred: Inferred) -> Content:
    found = np.empty((), object)
    found[()] = product(shape_of(node.input(0)))
    return found


OPERATORS = {"Size": Operator(_typed, made, _content)}
