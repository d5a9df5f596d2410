"""Where: one of two elements, by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.graphs.axes import elementwise
from gossamer.graphs.contents import computed
from gossamer.graphs.exact import arrays_of
from gossamer.graphs.inferred import Inferred, broadcast
from gossamer.graphs.operation import Array, Operation, dtype_of, shape_of
from gossamer.graphs.operator import Content, Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    return [(dtype_of(node.input(1)), broadcast(inferred, *map(shape_of, node.inputs)))]


def _chosen(condition: Content, yes: Content, no: Content) -> Any:
    return np.frompyfunc(lambda c, a, b: a if c else b, 3, 1)(condition, yes, no)


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    return [np.where(*arrays_of(node))]


OPERATORS = {"Where": Operator(_typed, elementwise, computed(_chosen), _exact)}
