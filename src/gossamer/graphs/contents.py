"""The elements of small integer tensors that hold sizes, so that reshapes are known before a run.

Exporters compute shapes with ordinary operators (Shape, Gather, Concat, ...). A rule applies such
an operator to elements that are numbers or sizes of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operand, Operation, fixed, shape_of
from gossamer.graphs.operator import Content

LIMIT = 64
"""Elements; what is larger holds no sizes."""


def objects(items: Sequence[Any]) -> Content:
    """A vector of numbers and sizes."""
    result = np.empty(len(items), object)
    result[:] = items
    return result


def array_of(value: Operand | None) -> Content:
    """What is known of the elements of an input."""
    if value is None or value.content is None:
        raise UnknownSize("an integer tensor is computed from data")
    return value.content


def computed(function: Callable[..., Any]) -> Callable[[Operation, Inferred], Content]:
    """A function of the elements of all inputs."""

    def rule(node: Operation, inferred: Inferred) -> Content:
        result = function(*(array_of(value) for value in node.inputs))
        return np.asarray(result, dtype=object)

    return rule


def reshaped(node: Operation, inferred: Inferred) -> Content:
    """The first input's elements in the output's shape."""
    return array_of(node.input(0)).reshape(fixed(shape_of(node.output)))
