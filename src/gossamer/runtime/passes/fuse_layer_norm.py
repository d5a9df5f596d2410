"""Layer normalisation, as exporters spell it out for operator sets before 17."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import Array, axes_of
from gossamer.graphs.ops.reduction import keeps_axes
from gossamer.runtime.graph import Graph, Node, Value, constant, derived, scalar
from gossamer.runtime.passes.partition import reason_against


def fuse_layer_norm(graph: Graph) -> None:
    """Make (x - mean) / sqrt(variance + epsilon) * scale + bias one LayerNormalization."""
    for node in list(graph.nodes):
        if node.is_a("Div"):
            _fuse(graph, node)


def _fuse(graph: Graph, divide: Node) -> None:
    centred, root = divide.source(0).producer, divide.source(1).producer
    if centred is None or not centred.is_a("Sub") or root is None or not root.is_a("Sqrt"):
        return
    x, mean = centred.source(0), centred.source(1).producer
    added = root.source(0).producer
    if not _is_mean_of(mean, x) or added is None or not added.is_a("Add"):
        return
    epsilon = scalar(added.input(1))
    variance = added.source(0).producer
    if epsilon is None or variance is None:
        return
    square = variance.source(0).producer
    if square is None or not _is_square_of(square, divide.source(0)):
        return
    if not _is_mean_of(variance, square.output):
        return
    multiply = graph.only_user(divide.output)
    if multiply is None or not multiply.is_a("Mul"):
        return
    add = graph.only_user(multiply.output)
    if add is None or not add.is_a("Add"):
        return
    scale, bias = _vector(multiply, divide.output), _vector(add, multiply.output)
    if scale is None or bias is None:
        return
    output = Value(add.output.name, add.output.dtype, add.output.shape)
    inputs: list[Value | None] = [
        x,
        constant(derived(output, "scale"), scale),
        constant(derived(output, "bias"), bias),
    ]
    attributes = {"axis": -1, "epsilon": epsilon}
    fused = Node("LayerNormalization", inputs, [output], attributes, name=add.name)
    # Of another type, or of vectors of another length, no kernel would take it; of another shape,
    # a constant of a higher rank gave it more axes.
    if not reason_against(fused):
        graph.substitute(add, output, fused)


def _is_mean_of(node: Node | None, x: Value) -> bool:
    """Whether a node is the mean of a value over its last axis, which it keeps."""
    if node is None or not node.is_a("ReduceMean") or node.source(0) is not x or x.shape is None:
        return False
    rank = len(x.shape)
    try:
        axes = axes_of(node, 1, rank)
    except UnknownSize:
        return False
    return keeps_axes(node) and axes == [rank - 1]


def _is_square_of(node: Node, value: Value) -> bool:
    if node.is_a("Mul"):
        return node.source(0) is value and node.source(1) is value
    return node.is_a("Pow") and node.source(0) is value and scalar(node.input(1)) == 2


def _vector(node: Node, beside: Value) -> Array | None:
    """The elements of the constant beside a value that has one number for each channel."""
    other = node.source(1) if node.source(0) is beside else node.source(0)
    if other.data is None or other.data.ndim == 0 or other.data.size != other.data.shape[-1]:
        return None
    return np.ascontiguousarray(other.data.reshape(-1))
