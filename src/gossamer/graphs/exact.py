"""Operators on constants, by NumPy, where every implementation must give the same bits.

They move elements, or are arithmetic that IEEE 754 or wrapping integers leave no choice in. Rules
take a node whose inputs are constant and whose outputs have their types and shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, data_of, fixed, shape_of

FLOATS = {"float32", "float64"}
NUMBERS = {*FLOATS, "int32", "int64"}


def arrays_of(node: Operation) -> list[Array]:
    """The elements of all inputs."""
    return [data_of(node, index) for index in range(len(node.inputs))]


def on(
    function: Callable[..., Any], types: set[str]
) -> Callable[[Operation, Inferred], list[Array]]:
    """A function of NumPy's on operands of one of these types."""

    def rule(node: Operation, inferred: Inferred) -> list[Array]:
        arrays = arrays_of(node)
        if any(str(array.dtype) not in types for array in arrays):
            raise UnknownSize(f"no exact {node.op} of {arrays[0].dtype}")
        return [np.asarray(function(*arrays))]

    return rule


def reshaped(node: Operation, inferred: Inferred) -> list[Array]:
    """The first input's elements in the output's shape."""
    return [data_of(node, 0).reshape(fixed(shape_of(node.output)))]
