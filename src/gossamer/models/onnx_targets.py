"""What a layer of a sparse ONNX model should give: where in the graph that is to be read.

Where a layer's output is added to a residual, the sum is what counts: the target is the dense sum
minus the sparse residual, so that each such layer also makes up for what the layers before it lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

import onnx

from gossamer.models.adapter import Layer
from gossamer.models.onnx_constants import Constants, Stored, attribute
from gossamer.models.onnx_layers import OnnxLayer, Use, operands

Consumers = Mapping[str, list[onnx.NodeProto]]


class Aim(NamedTuple):
    """Where the target of one use of a layer is found.

    Attributes:
        value: in the dense model: what the layer gives, with its bias, and the residual if any.
        residual: in the sparse model, to be taken off; None if nothing is added.
        bias: name of the constant that is to be taken off, of any shape that is broadcast with
            the layer's output; None if there is none.
    """

    value: str
    residual: str | None
    bias: str | None


def find_aim(use: Use, layer: Layer, consumers: Consumers, constants: Constants) -> Aim | None:
    """Return where the target of a layer is found; None where its output is scaled or rearranged.

    Args:
        use: of the layer's weight.
        layer: the layer.
        consumers: of every value; see `find_consumers`.
        constants: of the graph; see `gossamer.models.onnx_constants.constants`.
    """
    node, bias = use.node, None
    if not layer.gain or use.left or node.op_type not in ("MatMul", "Gemm", "Conv"):
        return None
    if len(node.input) > 2 and node.input[2]:
        scaled = attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
        if scaled or node.input[2] not in constants:
            return None
        bias = node.input[2]
    elif attribute(node, "alpha", 1.0) != 1.0:
        return None
    value = node.output[0]
    for other, total in _sums(value, consumers):
        if other not in constants:
            return Aim(total, other, bias)
        if bias is not None or not _has_one_a_row(constants[other].dims, layer):
            break
        bias, value = other, total
    return Aim(value, None, bias)


def _has_one_a_row(dims: Sequence[int], layer: Layer) -> bool:
    """Return whether a constant that is added to a layer's output holds one number for each row.

    It then lies along the last axis, or along that of the channels, and along no other.
    """
    axis = 1 + len(layer.kernel)
    return len(dims) >= axis and dims[-axis] == prod(dims) == layer.rows


def find_biases(
    graph: onnx.GraphProto, layers: Sequence[OnnxLayer], constants: Constants
) -> dict[str, Stored]:
    """Return the biases that can be changed, by the layer's name.

    They have one number for each of the layer's rows, and nothing else reads them.
    """
    consumers = find_consumers(graph)
    readers: Counter[int] = Counter()
    for name, stored in constants.items():
        # A node that shows a tensor in another form is none of those that use it.
        shown = {output for node in consumers.get(name, []) for output in node.output}
        readers[id(stored.tensor)] += len(shown - constants.keys())
    found = {}
    for layer in layers:
        node = layer.uses[0].node
        aim = find_aim(layer.uses[0], layer.layer, consumers, constants)
        if aim is None or aim.bias is None:
            continue
        if not len(layer.uses) == readers[id(constants[aim.bias].tensor)] == 1:
            continue
        own = node.op_type == "Conv" and aim.bias in node.input
        if own or _has_one_a_row(constants[aim.bias].dims, layer.layer):
            found[layer.layer.name] = constants[aim.bias]
    return found


def find_consumers(graph: onnx.GraphProto) -> Consumers:
    """Return the nodes that read each value."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in operands(node):
            found.setdefault(name, []).append(node)
    return found


def _sums(value: str, consumers: Consumers) -> Iterator[tuple[str, str]]:
    """Yield what is added to a value and the sum, again and again, while nothing else reads it."""
    while len(readers := consumers.get(value, [])) == 1:
        (node,) = readers
        if node.op_type in ("Identity", "Dropout"):
            value = node.output[0]
            continue
        if node.op_type != "Add" or node.input[0] == node.input[1]:
            return
        other = node.input[1] if node.input[0] == value else node.input[0]
        value = node.output[0]
        yield other, value
