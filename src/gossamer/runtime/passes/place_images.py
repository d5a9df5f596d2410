"""Convolutions and pooling: put their values into planes that line up with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gossamer.graphs.windows import window
from gossamer.runtime.graph import Graph, Node, Value, derived
from gossamer.runtime.kernels.planes import Tap, meeting
from gossamer.runtime.layouts import Planes, cut
from gossamer.runtime.ops import native

_POOLS = ("MaxPool", "AveragePool")
_WINDOWS = ("Convolution", *_POOLS)


def place_images(graph: Graph) -> None:
    """Give each value that a convolution or pooling touches a layout of planes.

    Values whose lanes meet in one kernel are cut into the same parts; a window with a stride reads
    parts that are larger by the stride. What lies otherwise is copied. What a window reads beyond a
    part is filled in by a node after the value's producer.
    """
    placement = _Placement()
    for node in graph.nodes:
        if node.native:
            placement.join(node)
    placement.cut()
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.native and node.op in _WINDOWS:
            placement.place_window(node, nodes)
        elif node.native and node.op == "GlobalAveragePool":
            node.inputs[0] = placement.find(node.source(0), None, nodes)
        nodes.append(node)
    graph.nodes = [after for node in nodes for after in (node, *placement.surrounded(node))]


@dataclass
class _Reach:
    """How far windows read beyond the parts of a value."""

    above: int = 0
    below: int = 0
    left: int = 0
    right: int = 0
    readers: list[Node] = field(default_factory=list)


class _Placement:
    """Which values are cut into the same parts, and how far each is read beyond them."""

    def __init__(self) -> None:
        self._leader: dict[Value, Value] = {}
        self._reach: dict[Value, _Reach] = {}
        self._copies: dict[tuple[Value, object], Value] = {}

    def join(self, node: Node) -> None:
        """Note the values of a node that are to be cut into the same parts."""
        output = node.output
        if node.op in _WINDOWS:
            self._leader[output] = output
            same = [node.source(0)] if _strides(node) == (1, 1) else []
            for value in [*same, *(v for v in node.inputs[3:] if v is not None)]:
                if value in self._leader:
                    self._unite(value, output)
        elif _elementwise(node):
            images = [v for v in node.inputs if v is not None and v in self._leader]
            if images and all(v.shape == output.shape for v in images):
                self._leader[output] = output
                for value in images:
                    self._unite(value, output)

    def cut(self) -> None:
        """Choose the parts, for the largest image among those that share them."""
        largest: dict[Value, tuple[int, int]] = {}
        for value in self._leader:
            first = self._first(value)
            height, width = largest.get(first, (0, 0))
            largest[first] = max(height, _size(value)[0]), max(width, _size(value)[1])
        for value in self._leader:
            height, width = _size(value)
            parts = cut(*largest[self._first(value)])
            value.layout = replace(parts, height=height, width=width)

    def find(self, value: Value, parts: Planes | None, nodes: list[Node]) -> Value:
        """The value, or a copy of it, cut into such parts; any if None."""
        placed = isinstance(value.layout, Planes) and value.layout
        if placed and (parts is None or meeting(placed) == meeting(parts)):
            return value
        height, width = _size(value)
        layout = replace(parts or cut(height, width), height=height, width=width)
        return self._copy(value, layout, (1, 1), 0.0, nodes)

    def place_window(self, node: Node, nodes: list[Node]) -> None:
        """Let a convolution or pooling read values that line up with its output."""
        x, output = node.source(0), node.output
        layout = output.layout
        assert isinstance(layout, Planes)
        strides, taps = _strides(node), _taps(node)
        parts = replace(layout, down=layout.down * strides[0], across=layout.across * strides[1])
        direct = isinstance(x.layout, Planes) and meeting(x.layout) == meeting(parts)
        if node.op == "MaxPool" and _beyond(node) and not (_never_negative(x) and _covered(node)):
            # What it reads beyond the edge is less than any number.
            height, width = _size(x)
            edges = replace(parts, height=height, width=width)
            source = self._copy(x, edges, (1, 1), -math.inf, nodes)
        elif taps == [(0, 0)] and not direct and strides != (1, 1):
            source = self._copy(x, layout, strides, 0.0, nodes)
            strides = (1, 1)
        else:
            source = self.find(x, parts, nodes)
        node.inputs[0] = source
        node.inputs[3:] = [
            None if value is None else self.find(value, layout, nodes) for value in node.inputs[3:]
        ]
        node.attributes |= {"taps": tuple(taps), "strides": strides}
        self._note(node, source, strides, taps)

    def _note(
        self, node: Node, source: Value, strides: tuple[int, int], taps: Sequence[Tap]
    ) -> None:
        assert isinstance(source.layout, Planes) and isinstance(node.output.layout, Planes)
        rows, columns = [tap[0] for tap in taps], [tap[1] for tap in taps]
        output = node.output.layout
        low = (output.down - 1) * strides[0] - source.layout.down + 1
        far = (output.across - 1) * strides[1] - source.layout.across + 1
        reach = self._reach.setdefault(source, _Reach())
        reach.above = max(reach.above, -min(rows))
        reach.below = max(reach.below, low + max(rows))
        reach.left = max(reach.left, -min(columns))
        reach.right = max(reach.right, far + max(columns))
        reach.readers.append(node)

    def _copy(
        self,
        value: Value,
        layout: Planes,
        strides: tuple[int, int],
        fill: float,
        nodes: list[Node],
    ) -> Value:
        assert value.shape is not None
        height, width = (-(-size // by) for size, by in zip(_size(value), strides, strict=True))
        layout = replace(layout.bare(), height=height, width=width)
        key = (value, (layout, strides, fill))
        if key not in self._copies:
            shape = (*value.shape[:2], height, width)
            name = derived(value, f"planes{len(self._copies)}")
            copied = Value(name, value.dtype, shape, layout=layout)
            attributes = {"strides": strides, "fill": fill}
            nodes.append(Node("Rearrange", [value], [copied], attributes, "gossamer", native=True))
            self._copies[key] = copied
        return self._copies[key]

    def surrounded(self, node: Node) -> list[Node]:
        """What fills in the surroundings of a node's outputs, where windows read them."""
        found = []
        for value in node.outputs:
            reach = self._reach.get(value)
            if reach is None or not isinstance(value.layout, Planes):
                continue
            value.layout = replace(
                value.layout,
                above=reach.above,
                below=reach.below,
                left=reach.left,
                right=reach.right,
            )
            if value.layout == value.layout.bare() or node.op == "Rearrange":
                continue
            filled = Value(derived(value, "filled"), value.dtype, value.shape, layout=value.layout)
            found.append(Node("Surround", [value], [filled], {}, "gossamer", native=True))
            for reader in reach.readers:
                reader.inputs[0] = filled
        return found

    def _first(self, value: Value) -> Value:
        while self._leader[value] is not value:
            value = self._leader[value]
        return value

    def _unite(self, value: Value, other: Value) -> None:
        self._leader[self._first(value)] = self._first(other)


def _elementwise(node: Node) -> bool:
    fits = native(node).is_elementwise and node.output.dtype == np.float32
    return fits and node.output.shape is not None


def _size(value: Value) -> tuple[int, int]:
    assert value.shape is not None
    height, width = value.shape[2:]
    assert isinstance(height, int) and isinstance(width, int)
    return height, width


def _window(node: Node) -> tuple[list[int], list[int], list[int], tuple[int, ...]]:
    """Zeros before the image, strides, dilations and the kernel's shape."""
    if node.op == "Convolution":
        weight = node.source(1).data
        assert weight is not None
        kernel = weight.shape[2:]
    else:
        kernel = tuple(node.attributes["kernel_shape"])
    before, _, strides, dilations = window(node, _size(node.source(0)), kernel)
    return before, strides, dilations, kernel


def _strides(node: Node) -> tuple[int, int]:
    down, across = _window(node)[1]
    return down, across


def _taps(node: Node) -> list[Tap]:
    before, _, dilations, kernel = _window(node)
    return [
        (row * dilations[0] - before[0], column * dilations[1] - before[1])
        for row in range(kernel[0])
        for column in range(kernel[1])
    ]


def _beyond(node: Node) -> bool:
    """Whether a pooling's windows reach beyond the edges."""
    if node.op not in _POOLS:
        return False
    (height, width), (rows, columns) = _size(node.source(0)), _size(node.output)
    (down, across), taps = _strides(node), _taps(node)
    return (
        min(taps) < (0, 0)
        or min(column for _, column in taps) < 0
        or (rows - 1) * down + max(row for row, _ in taps) >= height
        or (columns - 1) * across + max(column for _, column in taps) >= width
    )


def _covered(node: Node) -> bool:
    """Whether each window has a pixel of the image in it."""
    strides, taps = _strides(node), _taps(node)
    for axis in (0, 1):
        size, count = _size(node.source(0))[axis], _size(node.output)[axis]
        steps = {tap[axis] for tap in taps}
        for place in range(count):
            if not any(0 <= place * strides[axis] + step < size for step in steps):
                return False
    return True


def _never_negative(value: Value) -> bool:
    node = value.producer
    if node is None:
        return False
    return node.op == "Relu" or node.attributes.get("steps", ())[-1:] == ("Relu",)
