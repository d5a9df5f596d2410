"""Convolutions and pooling: put their values into planes that line up with each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gossamer.runtime.dims import Dim, UnknownSize
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.kernels.elements import ELEMENTWISE
from gossamer.runtime.layouts import Planes
from gossamer.runtime.shapes import window


@dataclass
class _Need:
    """What the kernels that touch a value ask of its layout."""

    row: int
    above: int = 0
    left: int = 0
    partners: list[Value] = field(default_factory=list)
    """Values whose rows must be as long."""


_POOLS = ("MaxPool", "AveragePool")
IMAGE_OPS = ("Conv", "Convolution", *_POOLS, "GlobalAveragePool")


def image_reason(node: Node) -> str:
    """Why one of the `IMAGE_OPS` has no lowering; empty if it has."""
    x, output = node.source(0), node.output
    if not x.known or not output.known or x.dtype != np.float32:
        return f"no lowering for {node.op} of {x.dtype} or of an unknown shape"
    assert x.shape is not None and output.shape is not None
    if len(x.shape) != 4 or any(
        isinstance(size, Dim) for size in (*x.shape[1:], *output.shape[1:])
    ):
        return f"no lowering for {node.op} of other than images of a fixed size"
    if len(node.outputs) > 1:
        return "no lowering for the indices that MaxPool gives beside its output"
    if node.op == "Conv" and any(v is not None and v.data is None for v in node.inputs[1:3]):
        return "no lowering for a convolution with computed weights"
    if node.op == "AveragePool":
        pads = node.attributes.get("pads", [0])
        even = not any(pads) and node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        if not even or node.attributes.get("ceil_mode", 0):
            return "no lowering for AveragePool with padding"
    return ""


def place_images(graph: Graph) -> None:
    """Give each value that a convolution or pooling touches a layout of planes.

    A stride makes the input's phases channels of their own; the output then lines up with those.
    Values whose lanes meet in one kernel get rows of one length.
    """
    needs: dict[Value, _Need] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.native and node.op in ("Convolution", *_POOLS):
            _place_window(node, nodes, needs)
        elif node.native and node.op == "GlobalAveragePool":
            if node.source(0) not in needs:
                node.inputs[0] = _copied(node.source(0), nodes, needs)
        elif _elementwise(node):
            images = [v for v in node.inputs if v is not None and v in needs]
            if images and all(v.shape == node.output.shape for v in images):
                _need(needs, node.output).partners += images
        nodes.append(node)
    graph.nodes = nodes
    for value, layout in _layouts(needs).items():
        value.layout = layout


def _elementwise(node: Node) -> bool:
    fits = node.op in ELEMENTWISE and not node.domain and node.output.dtype == np.float32
    return node.native and fits and node.output.shape is not None


def _place_window(node: Node, nodes: list[Node], needs: dict[Value, _Need]) -> None:
    x, output = node.source(0), node.output
    assert x.shape is not None and output.shape is not None
    size = _numbers(x.shape[2:])
    if node.op == "Convolution":
        weight = node.source(1).data
        assert weight is not None
        kernel = weight.shape[2:]
    else:
        kernel = tuple(node.attributes["kernel_shape"])
    before, _, stride, dilation = window(node, size, kernel)
    pooled = node.op in _POOLS
    if pooled:
        # What pooling reads beyond the edge is not zero, so it gets a copy that holds it.
        before = [0, 0]
    reach = [
        [step * dilation[axis] - before[axis] for step in range(kernel[axis])] for axis in (0, 1)
    ]
    if pooled:
        source = _pooled_phases(node, x, stride, reach, nodes, needs)
    elif stride != [1, 1]:
        split = [-(-size[axis] // stride[axis]) for axis in (0, 1)]
        source = _phases(x, stride, split, [0, 0], 0.0, nodes, needs)
    else:
        source = x if x in needs else _copied(x, nodes, needs)
    height, width = _numbers(source.shape[2:]) if source.shape is not None else (0, 0)
    out_height, out_width = _numbers(output.shape[2:])
    taps, above, left = [], 0, 0
    for down in reach[0]:
        for across in reach[1]:
            phase = (down % stride[0]) * stride[1] + across % stride[1]
            shift = (down // stride[0], across // stride[1])
            taps.append((phase, *shift))
            above = max(above, -shift[0], shift[0] + out_height - height)
            left = max(left, -shift[1], shift[1] + out_width - width)
    need = _need(needs, source)
    need.above, need.left = max(need.above, above), max(need.left, left)
    made = _need(needs, output)
    made.partners += [source, *(v for v in node.inputs[3:] if v is not None)]
    for operand in node.inputs[3:]:
        if operand is not None and operand not in needs:
            copied = _copied(operand, nodes, needs)
            node.inputs = [copied if value is operand else value for value in node.inputs]
            made.partners.append(copied)
    made.partners = [value for value in made.partners if value in needs]
    node.inputs[0] = source
    node.attributes |= {"taps": taps, "phases": stride[0] * stride[1]}


def _need(needs: dict[Value, _Need], value: Value) -> _Need:
    assert value.shape is not None
    return needs.setdefault(value, _Need(_numbers(value.shape[3:])[0]))


def _copied(value: Value, nodes: list[Node], needs: dict[Value, _Need]) -> Value:
    copied = Value(f"{value.name}.planes", value.dtype, value.shape)
    nodes.append(Node("Identity", [value], [copied], native=True))
    _need(needs, copied)
    return copied


def _pooled_phases(
    node: Node,
    x: Value,
    stride: list[int],
    reach: list[list[int]],
    nodes: list[Node],
    needs: dict[Value, _Need],
) -> Value:
    """The phases of an input with its padding as elements, as far as the pooling reaches."""
    assert x.shape is not None and node.output.shape is not None
    out = _numbers(node.output.shape[2:])
    size = [out[axis] + reach[axis][-1] // stride[axis] for axis in (0, 1)]
    before, _, _, _ = window(node, x.shape[2:], node.attributes["kernel_shape"])
    fill = -math.inf if node.op == "MaxPool" else 0.0
    return _phases(x, stride, size, before, fill, nodes, needs)


def _phases(
    value: Value,
    stride: list[int],
    size: list[int],
    before: list[int],
    fill: float,
    nodes: list[Node],
    needs: dict[Value, _Need],
) -> Value:
    """A copy with every phase of the rows and columns as a channel, after the channel's others."""
    assert value.shape is not None
    batch, channels = value.shape[:2]
    shape = (batch, channels * (stride[0] * stride[1]), *size)
    split = Value(f"{value.name}.phases", value.dtype, shape)
    attributes = {"strides": tuple(stride), "before": tuple(before), "fill": fill}
    nodes.append(Node("Phases", [value], [split], attributes, native=True))
    _need(needs, split)
    return split


def _numbers(sizes: object) -> list[int]:
    numbers = []
    for size in sizes:  # type: ignore[attr-defined]
        if isinstance(size, Dim):
            raise UnknownSize("an image's size depends on the input")
        numbers.append(int(size))
    return numbers


def _layouts(needs: dict[Value, _Need]) -> dict[Value, Planes]:
    """Rows of one length for values that meet, and the same zeros for those of the same size."""
    leader = {value: value for value in needs}

    def find(value: Value) -> Value:
        while leader[value] is not value:
            value = leader[value]
        return value

    for value, need in needs.items():
        for partner in need.partners:
            leader[find(partner)] = find(value)
    row: dict[Value, int] = {}
    most: dict[tuple[Value, int, int], tuple[int, int]] = {}
    for value, need in needs.items():
        assert value.shape is not None
        height, width = _numbers(value.shape[2:])
        first = find(value)
        row[first] = max(row.get(first, 0), width + need.left)
        above, left = most.get((first, height, width), (0, 0))
        most[first, height, width] = max(above, need.above), max(left, need.left)
    layouts = {}
    for value in needs:
        assert value.shape is not None
        height, width = _numbers(value.shape[2:])
        above, left = most[find(value), height, width]
        layouts[value] = Planes(height, width, row[find(value)], above, left)
    return layouts
