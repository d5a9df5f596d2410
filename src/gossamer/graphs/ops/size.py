"""Size: how many elements a tensor has."""

from __future__ import annotations

from gossamer.graphs.axes import made
from gossamer.graphs.elementwise import INT64
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(INT64, ())]


OPERATORS = {"Size": Operator(_typed, made)}
