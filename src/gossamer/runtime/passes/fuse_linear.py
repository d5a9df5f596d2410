"""Linear layers: a product with constant weights, its bias, and what follows it at once."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Graph, Node, Value, constant, only_user

_ACTIVATIONS = {"Relu", "Sigmoid", "Tanh", "Gelu"}


def fuse_linear(graph: Graph) -> None:
    """Make MatMul and Gemm with constant weights `Linear`, and pull later steps into it.

    `Linear` takes the input, the weights `[outputs, inputs]`, the bias, and the other operand of
    each sum among its `steps`: what is done to an output before it is stored, in order.
    """
    for position, node in enumerate(graph.nodes):
        linear = _from_matmul(node) or _from_gemm(node)
        if linear is not None:
            graph.nodes[position] = linear
    users = graph.users()
    for position, node in enumerate(graph.nodes):
        if node.op in ("Add", *_ACTIVATIONS) and not node.domain:
            fused = _absorb(graph, users, node)
            if fused is not None:
                graph.nodes[position] = fused
                # The linear layer now runs where its last step stood.
                users = graph.users()
    graph.drop_unused()


def _from_matmul(node: Node) -> Node | None:
    if node.op != "MatMul" or node.domain or not node.output.known:
        return None
    weight = node.source(1).data
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    return _linear(node, weight.T, None)


def _from_gemm(node: Node) -> Node | None:
    if node.op != "Gemm" or node.domain or not node.output.known:
        return None
    weight, added = node.source(1).data, node.input(2)
    if node.attributes.get("transA", 0) or weight is None or weight.dtype != np.float32:
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
    return _linear(node, weight * np.float32(node.attributes.get("alpha", 1.0)), bias)


def _linear(node: Node, weight: np.ndarray, bias: Value | None) -> Node:
    weights = constant(node.source(1).name, np.ascontiguousarray(weight))
    inputs = [node.inputs[0], weights, bias]
    return Node("Linear", inputs, node.outputs, {"steps": ()}, name=node.name)


def _absorb(graph: Graph, users: dict[Value, list[Node]], node: Node) -> Node | None:
    """The linear layer before a node with the node as its last step, if that is possible."""
    candidates = [
        value.producer
        for value in node.inputs
        if value is not None and value.producer is not None and value.producer.op == "Linear"
        if only_user(users, value) is node and value not in graph.outputs
    ]
    # Of two, the later one: the other's output is there when it runs.
    for linear in sorted(candidates, key=graph.nodes.index, reverse=True):
        inputs, steps = list(linear.inputs), linear.attributes["steps"]
        if node.op == "Add":
            other = node.source(1) if node.source(0) is linear.output else node.source(0)
            if other.data is not None and inputs[2] is None and not steps:
                bias = _bias(other, linear)
                if bias is None:
                    continue
                inputs[2] = bias
            elif other.shape == linear.output.shape and other.dtype == np.float32:
                inputs.append(other)
                steps = (*steps, "Add")
            else:
                continue
        elif node.op == "Gelu" and node.attributes.get("approximate", "none") == "tanh":
            steps = (*steps, "GeluTanh")
        else:
            steps = (*steps, node.op)
        return Node("Linear", inputs, node.outputs, {"steps": steps}, name=linear.name)
    return None


def _bias(value: Value, linear: Node) -> Value | None:
    weight = linear.source(1).data
    assert weight is not None and value.data is not None
    if value.data.dtype != np.float32 or value.data.size != weight.shape[0]:
        return None
    if value.data.ndim and value.data.shape[-1] != weight.shape[0]:
        return None
    return constant(value.name, np.ascontiguousarray(value.data.reshape(-1)))
