"""Dropout, which does nothing outside training."""

from __future__ import annotations

from gossamer.graphs.axes import along
from gossamer.graphs.elementwise import same
from gossamer.graphs.operation import Operation
from gossamer.graphs.operator import Operator


def is_training(node: Operation, opset: int) -> bool:
    """Whether a Dropout may drop something: `is_test`, later an input, says so."""
    if opset < 7:
        return not node.attributes.get("is_test", 0)
    training = node.input(2)
    return training is not None and (training.data is None or bool(training.data.any()))


OPERATORS = {"Dropout": Operator(same, along, is_random=True)}
