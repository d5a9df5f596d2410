"""What each operator of ONNX is, one file an operator or family: types, shapes, axes, work.

A file says `OPERATORS`: facts by the operator's name. `runtime/ops/` says how the same operators
run, in files of the same names.
"""

from __future__ import annotations

from gossamer.graphs.operation import Operation
from gossamer.graphs.operator import Operator
from gossamer.graphs.registry import collected, registered_name

OPERATORS: dict[str, Operator] = collected(__name__, __path__, "OPERATORS")
"""The facts of every operator that is known, by its name; with its domain before it, and a dot, if
it is not of ONNX's own set."""

_UNKNOWN = Operator()


def facts(node: Operation) -> Operator:
    """What is known of a node's operator."""
    return OPERATORS.get(registered_name(node), _UNKNOWN)
