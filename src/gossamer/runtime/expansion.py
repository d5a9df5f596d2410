"""Nodes that take the place of another, made one by one with their types and shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from gossamer.graphs.dims import Dim, Size, UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Shape, shape_of
from gossamer.runtime.graph import Node, Value, constant, derived
from gossamer.runtime.onnx_import import infer

OPSET = 18
"""The operator set that expansions are written in, whatever the model's is: all that a node becomes
runs natively or is computed ahead, and never reaches ONNX Runtime beside nodes of the model."""


class Expansion:
    """What a node becomes. Called with an operator and its inputs, it gives that one's output.

    Args:
        node: the node, whose names the new ones begin with.
        opset: the operator set that the node is of.
        written: the one that the new nodes are of.
    """

    def __init__(self, node: Node, opset: int, written: int = OPSET) -> None:
        self.node, self.opset, self.written = node, opset, written
        self.nodes: list[Node] = []
        self._values = 0

    def __call__(self, op: str, *inputs: Value | None, **attributes: Any) -> Value:
        """The only output of an operator; a constant if its inputs are.

        Raises:
            UnknownSize: if its type or shape is not known.
        """
        return self.add(op, inputs, attributes, 1)[0]

    def add(
        self, op: str, inputs: Sequence[Value | None], attributes: dict[str, Any], outputs: int
    ) -> list[Value]:
        """All outputs of an operator."""
        made = [Value(self._name()) for _ in range(outputs)]
        node = Node(op, list(inputs), made, attributes, name=self.node.name)
        inferred = Inferred(self.written, [])
        infer(node, inferred, {})
        if inferred.limits:
            raise UnknownSize("whether a size is negative depends on the input")
        if not all(value.known for value in made):
            raise UnknownSize("a shape within it is not known")
        if any(value.data is None for value in made):
            self.nodes.append(node)
        return made

    def hidden(self, op: str, x: Value, shape: Shape, **attributes: Any) -> Value:
        """The output of an operator of our own, which has the type of its input."""
        made = Value(self._name(), x.dtype, shape)
        self.nodes.append(Node(op, [x], [made], attributes, "gossamer", self.node.name))
        return made

    def reduced(self, op: str, x: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
        """A reduction along some axes; along none it does nothing."""
        return self(op, x, self.sizes(axes), keepdims=int(keepdims)) if axes else x

    def constant(self, data: Array) -> Value:
        """A value with known elements."""
        return constant(self._name(), data)

    def like(self, x: Value, number: float) -> Value:
        """A number of a value's type."""
        return self.constant(np.asarray(number, x.dtype))

    def sizes(self, sizes: Sequence[Size]) -> Value:
        """A vector of sizes, of which some may depend on the input."""
        if not any(isinstance(size, Dim) for size in sizes):
            return self.constant(np.asarray(sizes, np.int64))
        content = np.empty(len(sizes), object)
        content[:] = sizes
        return Value(self._name(), np.dtype(np.int64), (len(sizes),), content=content)

    def size(self, size: Size) -> Value:
        """A size as a number."""
        return self("Reshape", self.sizes([size]), self.sizes([]))

    def reshaped(self, x: Value, sizes: Sequence[Size]) -> Value:
        """The same elements under another shape."""
        return self("Reshape", x, self.sizes(sizes), allowzero=1)

    def along(self, vector: Value, axis: int, rank: int) -> Value:
        """A vector as an array of a rank, along one axis of it."""
        (size,) = shape_of(vector)
        return self.reshaped(vector, [size if at == axis else 1 for at in range(rank)])

    def _name(self) -> str:
        self._values += 1
        return derived(self.node.output, f"{self.node.op}.{self._values}")


Rule: TypeAlias = Callable[[Expansion, Node], "Sequence[Value] | None"]
"""Makes the nodes; returns what stands for each output, or None if the node is better left."""
