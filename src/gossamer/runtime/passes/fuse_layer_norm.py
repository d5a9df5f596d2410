"""Layer normalisation, as exporters spell it out for operator sets before 17."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Graph, Node, Value, constant, scalar


def fuse_layer_norm(graph: Graph) -> None:
    """Make (x - mean) / sqrt(variance + epsilon) * scale + bias one LayerNormalization."""
    for node in list(graph.nodes):
        if node.op == "Div" and not node.domain:
            _fuse(graph, node)


def _fuse(graph: Graph, divide: Node) -> None:
    centred, root = divide.source(0).producer, divide.source(1).producer
    if centred is None or centred.op != "Sub" or root is None or root.op != "Sqrt":
        return
    x, mean = centred.source(0), centred.source(1).producer
    added = root.source(0).producer
    if not _is_mean_of(mean, x) or added is None or added.op != "Add":
        return
    epsilon = scalar(added.input(1))
    variance = added.source(0).producer
    if epsilon is None or variance is None or variance.op != "ReduceMean":
        return
    square = variance.source(0).producer
    if square is None or not _is_square_of(square, divide.source(0)):
        return
    if not _is_mean_of(variance, square.output) or x.shape is None:
        return
    if len(x.shape) < 2 or x.dtype != np.float32:
        # No kernel would take it.
        return
    multiply = graph.only_user(divide.output)
    if multiply is None or multiply.op != "Mul":
        return
    scale = _vector(multiply, divide.output)
    add = graph.only_user(multiply.output)
    if scale is None or add is None or add.op != "Add":
        return
    bias = _vector(add, multiply.output)
    if bias is None or scale.shape != bias.shape or scale.shape != (x.shape[-1],):
        return
    output = Value(add.output.name, add.output.dtype, add.output.shape)
    attributes = {"axis": -1, "epsilon": epsilon}
    fused = Node("LayerNormalization", [x, scale, bias], [output], attributes, name=add.name)
    graph.substitute(add, output, fused)


def _is_mean_of(node: Node | None, x: Value) -> bool:
    """Whether a node is the mean of a value over its last axis, which it keeps."""
    if node is None or node.op != "ReduceMean" or node.source(0) is not x or x.shape is None:
        return False
    given = node.input(1)
    axes = given.data.tolist() if given is not None and given.data is not None else None
    axes = axes or node.attributes.get("axes")
    return bool(node.attributes.get("keepdims", 1)) and axes in ([-1], [len(x.shape) - 1])


def _is_square_of(node: Node, value: Value) -> bool:
    if node.op == "Mul":
        return node.source(0) is value and node.source(1) is value
    return node.op == "Pow" and node.source(0) is value and scalar(node.input(1)) == 2


def _vector(node: Node, beside: Value) -> Value | None:
    """The constant vector beside a value."""
    other = node.source(1) if node.source(0) is beside else node.source(0)
    if other.data is None or other.data.ndim == 0 or other.data.size != other.data.shape[-1]:
        return None
    return constant(other.name, np.ascontiguousarray(other.data.reshape(-1)))
