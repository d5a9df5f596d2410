"""Layers with constant weights: the product or convolution, its bias, and what follows at once."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Array, Graph, Node, Value, constant, only_user
from gossamer.runtime.passes.place_images import image_reason

_ACTIVATIONS = {"Relu", "Sigmoid", "Tanh", "Gelu"}


_LAYERS = ("Linear", "Convolution")


def fuse_layers(graph: Graph) -> None:
    """Make MatMul and Gemm `Linear`, Conv `Convolution`, and pull later steps into them.

    Both take the input, the weights (`[outputs, inputs]`, or as in Conv), the bias, and the other
    operand of each sum among their `steps`: what is done to an output before it is stored, in
    order.
    """
    for position, node in enumerate(graph.nodes):
        layer = _from_matmul(node) or _from_gemm(node) or _from_conv(node)
        if layer is not None:
            graph.nodes[position] = layer
    users = graph.users()
    for position, node in enumerate(graph.nodes):
        if node.op in ("Add", *_ACTIVATIONS) and not node.domain:
            fused = _absorb(graph, users, node)
            if fused is not None:
                graph.nodes[position] = fused
                # The layer now runs where its last step stood.
                users = graph.users()
    graph.drop_unused()


def _from_matmul(node: Node) -> Node | None:
    if node.op != "MatMul" or node.domain or not node.output.known:
        return None
    weight = node.source(1).data
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32 or not weight.size:
        return None
    return _linear(node, weight.T, None)


def _from_gemm(node: Node) -> Node | None:
    if node.op != "Gemm" or node.domain or not node.output.known:
        return None
    weight, added = node.source(1).data, node.input(2)
    if node.attributes.get("transA", 0) or weight is None or weight.dtype != np.float32:
        return None
    if not weight.size:
        return None
    if not node.attributes.get("transB", 0):
        weight = weight.T
    bias = None
    if added is not None:
        if added.data is None or added.data.size not in (1, weight.shape[0]):
            return None
        if added.data.ndim == 2 and added.data.shape[0] != 1:
            return None
        full = np.broadcast_to(added.data.reshape(-1), (weight.shape[0],))
        bias = constant(added.name, full * np.float32(node.attributes.get("beta", 1.0)))
    alpha = np.float32(node.attributes.get("alpha", 1.0))
    return _linear(node, weight if alpha == 1 else weight * alpha, bias)


def _from_conv(node: Node) -> Node | None:
    if node.op != "Conv" or image_reason(node):
        return None
    inputs = [node.inputs[0], node.inputs[1], node.input(2)]
    attributes = {"group": 1, **node.attributes, "steps": ()}
    return Node("Convolution", inputs, node.outputs, attributes, "gossamer", node.name)


def _linear(node: Node, weight: Array, bias: Value | None) -> Node:
    weights = constant(node.source(1).name, weight)
    inputs = [node.inputs[0], weights, bias]
    return Node("Linear", inputs, node.outputs, {"steps": ()}, "gossamer", node.name)


def _absorb(graph: Graph, users: dict[Value, list[Node]], node: Node) -> Node | None:
    """The layer before a node with the node as its last step, if that is possible."""
    candidates = [
        value.producer
        for value in node.inputs
        if value is not None and value.producer is not None
        if value.producer.op in _LAYERS and value.producer.domain == "gossamer"
        if only_user(users, value) is node and value not in graph.outputs
    ]
    # Of two, the later one: the other's output is there when it runs.
    for layer in sorted(candidates, key=graph.nodes.index, reverse=True):
        inputs, steps = list(layer.inputs), layer.attributes["steps"]
        if node.op == "Add":
            other = node.source(1) if node.source(0) is layer.output else node.source(0)
            if other.data is not None and inputs[2] is None and not steps:
                bias = _bias(other, layer)
                if bias is None:
                    continue
                inputs[2] = bias
            elif other.shape == layer.output.shape and other.dtype == np.float32:
                inputs.append(other)
                steps = (*steps, "Add")
            else:
                continue
        elif node.op == "Gelu" and node.attributes.get("approximate", "none") == "tanh":
            steps = (*steps, "GeluTanh")
        else:
            steps = (*steps, node.op)
        attributes = {**layer.attributes, "steps": steps}
        return Node(layer.op, inputs, node.outputs, attributes, "gossamer", layer.name)
    return None


def _bias(value: Value, layer: Node) -> Value | None:
    weight = layer.source(1).data
    assert weight is not None and value.data is not None
    if layer.op != "Linear":
        return None
    if value.data.dtype != np.float32 or value.data.size != weight.shape[0]:
        return None
    if value.data.ndim and value.data.shape[-1] != weight.shape[0]:
        return None
    return constant(value.name, np.ascontiguousarray(value.data.reshape(-1)))
