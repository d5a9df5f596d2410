"""Gather operators whose elements are expressions into one kernel where they meet."""

from __future__ import annotations

from typing import Any

from gossamer.graphs.dims import Dim, Size
from gossamer.graphs.operation import shape_of
from gossamer.runtime.graph import Graph, Node, Value, scalar
from gossamer.runtime.kernels.pointwise import Expression, extent
from gossamer.runtime.kernels.reduction import FOLDS
from gossamer.runtime.layouts import PLAIN
from gossamer.runtime.ops import NATIVE, native

_DEPTH = 24
# Operators in one expression, each counted as often as its elements are computed.
_LARGEST = 256


def group_pointwise(graph: Graph) -> None:
    """Replace chains of expressions by `Pointwise` nodes.

    Such a node takes arrays; its attributes hold the expression and the sizes that its kernel
    receives. A reduction keeps its operator, and folds an expression. A producer joins its user if
    nobody else takes it, or if it is cheap.
    """
    users = graph.users()
    outputs = set(graph.outputs)
    # What would make an expression too large is stored, as if it were an output.
    outputs |= _too_large(graph, users)
    native = {node for node in graph.nodes if node.native}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        taken = any(users.get(output) or output in outputs for output in node.outputs)
        folds = _folds(node)
        if node not in native or not (folds or _is_expression(node)):
            nodes.append(node)
            continue
        if not taken:
            continue
        builder = _Builder(users, outputs, native)
        if folds:
            builder.nodes.append(node)
            expression = builder.expression(node.source(0))
        else:
            expression = builder.expression(node.output, root=True)
            # Of sizes it takes nothing, not even itself.
            builder.nodes = builder.nodes or [node]
        grouped = Node(
            node.op if folds else "Pointwise",
            list(builder.arrays),
            node.outputs,
            {
                "expression": expression,
                "sizes": builder.sizes,
                "nodes": builder.nodes,
            },
            domain="gossamer",
            name=node.name,
            native=True,
        )
        nodes.append(grouped)
        # What was absorbed now has other users, or none.
        for absorbed in builder.nodes:
            for value in absorbed.inputs:
                if value is not None:
                    users[value] = [user for user in users[value] if user is not absorbed]
        for value in builder.arrays:
            users.setdefault(value, []).append(grouped)
    graph.nodes = nodes[::-1]
    graph.drop_unused()


def _too_large(graph: Graph, users: dict[Value, list[Node]]) -> set[Value]:
    """Values to store because what takes them, with all that they are made of, grows too large."""
    large: set[Value] = set()
    size: dict[Value, int] = {}
    for node in graph.nodes:
        if not node.native or not _is_expression(node):
            continue
        operands = [value for value in node.inputs if value is not None]
        total = 1 + sum(size.get(value, 1) for value in operands)
        if total > _LARGEST:
            large.update(value for value in operands if value in size)
            total = 1 + len(operands)
        if native(node).is_cheap or len(users.get(node.output, [])) == 1:
            size[node.output] = total
    return large


def _is_expression(node: Node) -> bool:
    return native(node).element is not None


def _folds(node: Node) -> bool:
    """Whether a node is a reduction, which may fold an expression."""
    return node.op in FOLDS and not node.domain


class _Builder:
    def __init__(
        self, users: dict[Value, list[Node]], outputs: set[Value], native: set[Node]
    ) -> None:
        self.users, self.outputs, self.native = users, outputs, native
        self.arrays: list[Value] = []
        self.sizes: list[Dim] = []
        self.nodes: list[Node] = []
        self._known: dict[Value, Expression] = {}

    def expression(self, value: Value, root: bool = False, depth: int = 0) -> Expression:
        """The expression of a value: an input, or what its producer makes of others."""
        if value not in self._known:
            self._known[value] = self._expression(value, root, depth)
        return self._known[value]

    def _expression(self, value: Value, root: bool, depth: int) -> Expression:
        dtype = str(value.dtype)
        number = scalar(value)
        if number is not None and value.shape == ():
            return Expression("Constant", dtype, (), (), (("value", _plain(value)),))
        if value.data is None and value.content is not None:
            return self._sizes(value)
        node = value.producer
        if node is None or value.data is not None or not (root or self._joins(value, node, depth)):
            return self._input(value, dtype)
        if node not in self.nodes:
            self.nodes.append(node)
        how = native(node)
        assert how.operands is not None
        operands, attributes = how.operands(node)
        made = []
        # Each tap of a window would compute anew what it reads.
        deeper = depth + 1 if node.domain != "gossamer" else _DEPTH + 1
        for operand in operands:
            if isinstance(operand, Value):
                made.append(self.expression(operand, depth=deeper))
            else:
                made.append(self._size(operand))
        return Expression(node.op, dtype, self._shape(value), tuple(made), attributes, how.element)

    def _joins(self, value: Value, node: Node, depth: int) -> bool:
        if node not in self.native or not _is_expression(node) or depth > _DEPTH:
            return False
        if value in self.outputs:
            return False
        return len(self.users.get(value, [])) == 1 or native(node).is_cheap

    def _input(self, value: Value, dtype: str) -> Expression:
        if value not in self.arrays:
            self.arrays.append(value)
        attributes: tuple[tuple[str, Any], ...] = (("slot", self.arrays.index(value)),)
        if value.layout != PLAIN:
            attributes = (*attributes, ("layout", value.layout))
        return Expression("Input", dtype, self._shape(value), (), attributes)

    def _sizes(self, value: Value) -> Expression:
        assert value.content is not None
        parts = tuple(self._size(item) for item in value.content.reshape(-1))
        sizes = Expression("Sizes", "int64", value.content.shape, parts)
        if not value.content.shape:
            sizes = parts[0]
        kind = str(value.dtype)
        # Sizes that the model casts have another type.
        return (
            sizes
            if kind == "int64"
            else Expression("Cast", kind, sizes.shape, (sizes,), rule=NATIVE["Cast"].element)
        )

    def _size(self, size: Size) -> Expression:
        if not isinstance(size, Dim):
            return Expression("Constant", "int64", (), (), (("value", int(size)),))
        return Expression("Size", "int64", (), (), (("name", self._extent(size)),))

    def _shape(self, value: Value) -> tuple[int | str, ...]:
        return tuple(self._extent(size) for size in shape_of(value))

    def _extent(self, size: Size) -> int | str:
        if not isinstance(size, Dim):
            return int(size)
        if size not in self.sizes:
            self.sizes.append(size)
        return extent(self.sizes.index(size))


def _plain(value: Value) -> Any:
    assert value.data is not None
    return value.data.reshape(-1)[0].item()
