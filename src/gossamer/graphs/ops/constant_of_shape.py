"""ConstantOfShape: one number throughout."""

from __future__ import annotations

import math

import numpy as np

from gossamer.graphs.axes import made
from gossamer.graphs.contents import LIMIT
from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, fixed, numbers_of, shape_of
from gossamer.graphs.operator import Content, Operator, Typed
from gossamer.graphs.ops.expand import sizes_of


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return [(value.dtype, sizes_of(node.input(0)))]


def _content(node: Operation, inferred: Inferred) -> Content:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    shape = numbers_of(node.input(0))
    if math.prod(shape) > LIMIT:
        raise UnknownSize("too large to hold sizes")
    return np.full(shape, int(value.reshape(-1)[0]), dtype=object)


def _exact(node: Operation, inferred: Inferred) -> list[Array]:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return [np.full(fixed(shape_of(node.output)), value.reshape(()), value.dtype)]


OPERATORS = {"ConstantOfShape": Operator(_typed, made, _content, _exact)}
