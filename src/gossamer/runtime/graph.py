"""The intermediate representation: values with shapes, nodes, and the graph that they form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import Size
from gossamer.graphs.operation import Array, Shape
from gossamer.runtime.layouts import PLAIN, Layout


@dataclass(eq=False)
class Value:
    """What a node makes or takes."""

    name: str
    dtype: np.dtype[Any] | None = None
    """None where it could not be inferred; such a value lives in ONNX Runtime only."""
    shape: Shape | None = None
    """None where some size could not be inferred; likewise."""
    data: Array | None = None
    """The elements of a constant."""
    content: NDArray[np.object_] | None = None
    """The elements, sizes among them, of a small integer tensor that only depends on shapes."""
    layout: Layout = PLAIN
    producer: Node | None = None
    stated: Shape | None = None
    """Of an input: its shape as the model states it, of which `shape` may know more."""

    @property
    def known(self) -> bool:
        """Whether type and shape are known."""
        return self.dtype is not None and self.shape is not None


@dataclass(eq=False)
class Node:
    """An operation: ONNX's own, or one that a pass made of several."""

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    name: str = ""
    native: bool = False
    """Whether generated code runs it."""
    reason: str = ""
    """If not, why not."""

    def __post_init__(self) -> None:
        for output in self.outputs:
            output.producer = self

    def is_a(self, *ops: str) -> bool:
        """Whether it is one of these operators of ONNX's own, not another set's of the name."""
        return not self.domain and self.op in ops

    @property
    def output(self) -> Value:
        """The first output."""
        return self.outputs[0]

    def input(self, index: int) -> Value | None:
        """An input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def source(self, index: int) -> Value:
        """An input that must be there."""
        value = self.inputs[index]
        assert value is not None, f"{self.op} {self.name} lacks input {index}"
        return value


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run."""

    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    limits: list[tuple[Size, int]] = field(default_factory=list)
    """Sizes of the input, and the largest number that each may be."""
    opsets: dict[str, int] = field(default_factory=dict)
    """The version of each operator set that the model uses, by domain."""

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("", 0)

    def copy(self) -> Graph:
        """The same graph of values and nodes of its own; constants share their elements."""
        copies: dict[Value, Value] = {}

        def copied(value: Value) -> Value:
            if value not in copies:
                copies[value] = replace(value, producer=None)
            return copies[value]

        nodes = [
            replace(
                node,
                inputs=[copied(value) if value is not None else None for value in node.inputs],
                outputs=[copied(value) for value in node.outputs],
                attributes=dict(node.attributes),
            )
            for node in self.nodes
        ]
        inputs, outputs = ([copied(v) for v in values] for values in (self.inputs, self.outputs))
        return Graph(inputs, outputs, nodes, list(self.limits), dict(self.opsets))

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that take each value, once for each use."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    found.setdefault(value, []).append(node)
        return found

    def takers(self, value: Value) -> list[Node]:
        """The nodes that take a value now, once for each use."""
        return [node for node in self.nodes for taken in node.inputs if taken is value]

    def only_user(self, value: Value) -> Node | None:
        """The node that takes a value now, if it takes it once and nothing else, no caller, does.

        Asked anew each time: what an edit has changed is never answered from before it.
        """
        if value in self.outputs:
            return None
        found = self.takers(value)
        return found[0] if len(found) == 1 else None

    def substitute(self, node: Node, value: Value, *made: Node) -> None:
        """Put other nodes in the place of one, and let the users of its output take another value.

        The node goes at once, so that it counts as no user of what it took.
        """
        position = self.nodes.index(node)
        self.nodes[position : position + 1] = made
        self.replace(node.output, value)

    def replace(self, old: Value, new: Value) -> None:
        """Let every user of one value take another."""
        for node in self.nodes:
            node.inputs = [new if value is old else value for value in node.inputs]
        self.outputs = [new if value is old else value for value in self.outputs]

    def check(self) -> None:
        """Whether the nodes can run in their order, and each value's producer is the one here.

        Raises:
            AssertionError: if a pass left the graph otherwise; it says where.
        """
        made: dict[Value, Node | None] = dict.fromkeys(self.inputs)
        assert len(made) == len(self.inputs), "a value is twice an input"
        assert all(v.data is None and v.producer is None for v in made), "an input is made"

        def check_taken(value: Value, by: str) -> None:
            if value.data is not None or (value.content is not None and value not in made):
                assert value.producer is None, f"{value.name}, a constant, has a producer"
            else:
                assert value in made, f"{value.name} is taken by {by} before it is made"

        for node in self.nodes:
            about = f"{node.op} {node.name or [value.name for value in node.outputs]}"
            for value in node.inputs:
                if value is not None:
                    check_taken(value, about)
            for value in node.outputs:
                assert value not in made, f"{value.name} is made twice, again by {about}"
                assert value.data is None, f"{about} makes a constant"
                assert value.producer is node, f"{value.name} has another producer than {about}"
                made[value] = node
        for value in self.outputs:
            check_taken(value, "the caller")
        constants = {v for node in self.nodes for v in node.inputs if v is not None} - made.keys()
        names = Counter(v.name for v in (*made, *constants) if v.name)
        twice = [name for name, count in names.items() if count > 1]
        assert not twice, f"several values are called {', '.join(twice)}"

    def drop_unused(self) -> None:
        """Remove the nodes whose outputs nobody takes."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if any(output in needed for output in node.outputs):
                kept.append(node)
                needed.update(value for value in node.inputs if value is not None)
        self.nodes = kept[::-1]

    def constant_bytes(self) -> int:
        """Bytes of the nodes' constants, each counted once."""
        found = {value for node in self.nodes for value in node.inputs if value is not None}
        return sum(value.data.nbytes for value in found if value.data is not None)

    def clear(self) -> None:
        """Part the nodes from their values: they hold each other, and memory with them."""
        for node in self.nodes:
            node.inputs, node.outputs = [], []
        self.nodes = []

    def forget_constants(self, node: Node, last: Mapping[Value | None, Node]) -> None:
        """Let go of a node's constants once there is a kernel that holds what it needs.

        Args:
            node: the node that has its kernel.
            last: the last node that takes each value; earlier ones leave it.
        """
        for value in node.inputs:
            if value is not None and last[value] is node and value not in self.outputs:
                value.data = None
        node.attributes = {}


def derived(value: Value, what: str) -> str:
    """The name of what is made of a value: ONNX Runtime knows values by name, so the model's own
    (`bn1` and `bn1.weight`) must not be met."""
    return f"{value.name}/gossamer.{what}"


def constant(name: str, data: Array) -> Value:
    """A value with known elements."""
    content = data.astype(object) if data.dtype.kind in "iub" and data.size <= 64 else None
    return Value(name, data.dtype, tuple(data.shape), data, content)


def scalar(value: Value | None) -> float | None:
    """The number in a constant of one element, else None."""
    if value is None or value.data is None or value.data.size != 1:
        return None
    return float(value.data.reshape(-1)[0])
