"""Layers with constant weights: the product or convolution, its bias, and what follows at once."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.operation import Array
from gossamer.runtime.graph import Graph, Node, Value, constant, derived, scalar
from gossamer.runtime.images import image_reason
from gossamer.runtime.kernels.epilogue import Step
from gossamer.runtime.onnx_import import follows_rule

_LARGEST = float(np.finfo(np.float32).max)

# Activations that layers apply themselves, each with ONNX's defaults for its numbers.
_ACTIVATIONS: dict[str, dict[str, float]] = {
    "Relu": {},
    "Sigmoid": {},
    "Tanh": {},
    "Gelu": {},
    "Mish": {},
    "HardSwish": {},
    "Swish": {"alpha": 1.0},
    "Elu": {"alpha": 1.0},
    "LeakyRelu": {"alpha": 0.01},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Clip": {"min": -_LARGEST, "max": _LARGEST},
}

_LAYERS = ("Linear", "Convolution")


def fuse_layers(graph: Graph) -> None:
    """Make MatMul with constant weights `Linear`, Conv `Convolution`; pull later steps into them.

    Both take the input, the weights (`[outputs, inputs]`, or as in Conv), the bias, and the other
    operand of each sum among their `steps`: what is done to an output before it is stored, in
    order.
    """
    for position, node in enumerate(graph.nodes):
        layer = _from_matmul(node) or _from_conv(node)
        if layer is not None:
            graph.nodes[position] = layer
    for node in list(graph.nodes):
        if node.is_a("Add", *_ACTIVATIONS):
            fused = _absorb(graph, node)
            if fused is not None:
                # The layer now runs where its last step stood.
                layer, made = fused
                graph.nodes.remove(layer)
                graph.nodes[graph.nodes.index(node)] = made


def _from_matmul(node: Node) -> Node | None:
    if not node.is_a("MatMul") or not follows_rule(node):
        return None
    weight = node.source(1).data
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32 or not weight.size:
        return None
    return _linear(node, weight.T, None)


def _from_conv(node: Node) -> Node | None:
    if not node.is_a("Conv") or image_reason(node) or not follows_rule(node):
        return None
    inputs = [node.inputs[0], node.inputs[1], node.input(2)]
    attributes = {"group": 1, **node.attributes, "steps": ()}
    return Node("Convolution", inputs, node.outputs, attributes, "gossamer", node.name)


def _linear(node: Node, weight: Array, bias: Value | None) -> Node:
    weights = constant(derived(node.output, "weight"), weight)
    inputs = [node.inputs[0], weights, bias]
    return Node("Linear", inputs, node.outputs, {"steps": ()}, "gossamer", node.name)


def _absorb(graph: Graph, node: Node) -> tuple[Node, Node] | None:
    """The layer before a node, and what it is with the node as its last step, if that can be."""
    if not follows_rule(node):
        return None
    candidates = [
        value.producer
        for value in node.inputs
        if value is not None and value.producer is not None
        if value.producer.op in _LAYERS and value.producer.domain == "gossamer"
        if graph.only_user(value) is node
    ]
    # Of two, the later one: the other's output is there when it runs.
    for layer in sorted(candidates, key=graph.nodes.index, reverse=True):
        if layer.output.shape != node.output.shape:
            # An operand of a higher rank gave it more axes.
            continue
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
        else:
            step = _step(node)
            if step is None:
                return None
            steps = (*steps, step)
        attributes = {**layer.attributes, "steps": steps}
        return layer, Node(layer.op, inputs, node.outputs, attributes, "gossamer", layer.name)
    return None


def _step(node: Node) -> Step | None:
    """An activation as a step, None if its numbers are not constant."""
    if node.op == "Gelu" and node.attributes.get("approximate", "none") == "tanh":
        return "GeluTanh"
    numbers = []
    for position, (name, default) in enumerate(_ACTIVATIONS[node.op].items(), start=1):
        # Clip has its bounds as inputs since operator set 11.
        given = node.input(position)
        number = scalar(given) if given is not None else node.attributes.get(name, default)
        if number is None:
            return None
        numbers.append(float(number))
    if not numbers:
        return node.op
    step: Step = (node.op, *numbers)
    return step


def _bias(value: Value, layer: Node) -> Value | None:
    weight = layer.source(1).data
    assert weight is not None and value.data is not None
    if layer.op != "Linear":
        return None
    if value.data.dtype != np.float32 or value.data.size != weight.shape[0]:
        return None
    if value.data.ndim and value.data.shape[-1] != weight.shape[0]:
        return None
    return constant(derived(layer.output, "bias"), np.ascontiguousarray(value.data.reshape(-1)))
