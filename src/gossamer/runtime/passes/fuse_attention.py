"""Attention: from queries, keys and values to the weighted sum, as one node.

Exporters write it as products of reshaped and transposed tensors, each in a way of its own. Here
the axes of each product's operands are followed back to the linear layers, so that any sequence of
reshapes and transposes with the right result is recognised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gossamer.graphs.dims import Size, UnknownSize, divide
from gossamer.graphs.operation import Shape
from gossamer.runtime.graph import Graph, Node, Value, derived, scalar
from gossamer.runtime.layouts import PADDED
from gossamer.runtime.onnx_import import follows_rule


@dataclass(frozen=True)
class Atom:
    """A part of an axis of the value that views are made of, as the path that leads to it."""

    path: tuple[int, ...]
    size: Size


Axes = list[tuple[Atom, ...]]


def fuse_attention(graph: Graph) -> None:
    """Make each recognised attention one `Attention` node.

    It takes queries, keys and values `[batch, tokens, heads * channels]` and perhaps a mask that
    is added to the scores.
    """
    masks: dict[Value, Value] = {}
    for node in list(graph.nodes):
        if node.is_a("Softmax"):
            _fuse(graph, node, masks)


def _fuse(graph: Graph, softmax: Node, masks: dict[Value, Value]) -> None:
    scores = softmax.source(0)
    if scores.shape is None or len(scores.shape) != 4 or scores.dtype != np.float32:
        return
    if softmax.attributes.get("axis", -1) not in (-1, 3) or graph.opset < 13:
        return

    # Up: the mask, a factor, and the product of queries and keys.
    mask, scale = None, 1.0
    node = scores.producer
    if node is not None and _is_whole(node, "Add"):
        left, right = node.source(0), node.source(1)
        found = next((v for v in (left, right) if _is_product(v)), None)
        if found is None or graph.only_user(node.output) is not softmax:
            return
        if found.shape != scores.shape:
            # Several masks for one product.
            return
        mask = right if found is left else left
        node = found.producer
    while node is not None and (factor := _factor(node)) is not None:
        scale *= factor
        node = node.source(0).producer
    if node is None or not _is_whole(node, "MatMul"):
        return
    query, key = _view(node.source(0)), _view(node.source(1))

    # Down: where nothing may be attended to, the product with the values, and the way back.
    weights, zero_nan = softmax.output, False
    taken = graph.takers(weights)
    if {user.op for user in taken} == {"IsNaN", "Where"} and len(taken) == 2:
        where = next(user for user in taken if user.op == "Where")
        test = where.source(0).producer
        zero = scalar(where.input(1)) == 0 and where.source(2) is weights
        if test not in taken or not zero or where.output.shape != weights.shape:
            return
        weights, zero_nan = where.output, True
    mixed = graph.only_user(weights)
    if mixed is None or not _is_whole(mixed, "MatMul") or mixed.source(0) is not weights:
        return
    value = _view(mixed.source(1))
    if query is None or key is None or value is None:
        return
    if not (_order(query) == _order(value) == "bhsd" and _order(key) == "bhds"):
        return
    last = _way_back(graph, mixed, query.axes)
    if last is None:
        return

    heads, head = query.axes[1][0].size, query.axes[3][0].size
    if not isinstance(heads, int) or not isinstance(head, int):
        return
    if (key.axes[1][0].size, key.axes[2][0].size) != (heads, head):
        return
    if (value.axes[1][0].size, value.axes[3][0].size) != (heads, head):
        return
    if not query.axes[0][0].size == key.axes[0][0].size == value.axes[0][0].size:
        # Broadcast along the batch, which the kernel does not do.
        return
    if value.scale != 1:
        return
    inputs: list[Value | None] = [query.base, key.base, value.base]
    kind = "none"
    if mask is not None:
        if mask.shape is None or mask.dtype != np.float32 or len(mask.shape) != 4:
            return
        kind = "keys" if mask.shape[2] == 1 else "full"
        if kind == "full":
            mask = _by_key(graph, mask, masks)
        inputs.append(mask)
    attributes = {
        "heads": heads,
        "head": head,
        "scale": scale * query.scale * key.scale,
        "mask": kind,
        "zero_nan": zero_nan,
    }
    output = Value(last.output.name, last.output.dtype, last.output.shape)
    fused = Node("Attention", inputs, [output], attributes, domain="gossamer", name=softmax.name)
    graph.substitute(last, output, fused)


def _is_product(value: Value) -> bool:
    node = value.producer
    while node is not None and _factor(node) is not None:
        node = node.source(0).producer
    return node is not None and node.is_a("MatMul")


def _factor(node: Node) -> float | None:
    """What a node multiplies its first input by, if that is all it does."""
    if not node.is_a("Mul", "Div") or node.output.shape != node.source(0).shape:
        # A number of a higher rank gives more axes.
        return None
    factor = scalar(node.input(1))
    if factor is None or factor == 0 or not math.isfinite(factor):
        return None
    return factor if node.op == "Mul" else 1 / factor


def _is_whole(node: Node, *ops: str) -> bool:
    """Whether a node is one of these operators, and its shape its own rule's."""
    return node.is_a(*ops) and follows_rule(node)


@dataclass(frozen=True)
class _View:
    """A value as a rearrangement of the axes of another, times a number."""

    base: Value
    axes: Axes
    scale: float


def _view(value: Value) -> _View | None:
    """Follow a value up through reshapes, transposes and factors to `[batch, tokens, channels]`."""
    chain: list[Node] = []
    scale = 1.0
    while (node := value.producer) is not None:
        if (factor := _factor(node)) is not None:
            scale *= factor
        elif _is_whole(node, "Reshape", "Transpose"):
            chain.append(node)
        else:
            break
        value = node.source(0)
    if value.shape is None or len(value.shape) != 3 or value.dtype != np.float32:
        return None
    axes: Axes = [(Atom((axis,), size),) for axis, size in enumerate(value.shape)]
    for node in reversed(chain):
        moved = _move(axes, node)
        if moved is None:
            return None
        axes = moved
    return _View(value, axes, scale)


def _move(axes: Axes, node: Node) -> Axes | None:
    """The axes after a reshape or transpose."""
    if node.op == "Transpose":
        order = node.attributes.get("perm", list(range(len(axes)))[::-1])
        return [axes[axis] for axis in order]
    if node.output.shape is None:
        return None
    try:
        return _regroup([atom for axis in axes for atom in axis], node.output.shape)
    except UnknownSize:
        return None


def _regroup(atoms: Sequence[Atom], shape: Shape) -> Axes | None:
    """The atoms in order as axes of these sizes, splitting an atom where an axis ends within it."""
    rest = list(atoms)
    axes: Axes = []
    for size in shape:
        axis: list[Atom] = []
        wanted = size
        if wanted == 1 and rest and rest[0].size == 1:
            axis.append(rest.pop(0))
        while wanted != 1:
            if not rest:
                return None
            atom = rest.pop(0)
            try:
                wanted = divide(wanted, atom.size)
                axis.append(atom)
            except UnknownSize:
                # The axis ends within the atom: it takes the outer part.
                rest.insert(0, Atom((*atom.path, 1), divide(atom.size, wanted)))
                axis.append(Atom((*atom.path, 0), wanted))
                wanted = 1
        axes.append(tuple(axis))
    return axes if all(atom.size == 1 for atom in rest) else None


_NAMES = {(0,): "b", (1,): "s", (2, 0): "h", (2, 1): "d"}


def _order(view: _View) -> str:
    """The axes in letters: batch, tokens, heads, channels of a head; ? for anything else."""
    return "".join(_NAMES.get(axis[0].path, "?") if len(axis) == 1 else "?" for axis in view.axes)


def _way_back(graph: Graph, mixed: Node, axes: Axes) -> Node | None:
    """The node after which the result is `[batch, tokens, heads * channels]` again."""
    node = mixed
    while True:
        following = graph.only_user(node.output)
        if following is None or not _is_whole(following, "Reshape", "Transpose"):
            return None
        moved = _move(axes, following)
        if moved is None:
            return None
        axes, node = moved, following
        if [tuple(atom.path for atom in axis) for axis in axes] == [
            ((0,),),
            ((1,),),
            ((2, 0), (2, 1)),
        ]:
            return node


def _by_key(graph: Graph, mask: Value, masks: dict[Value, Value]) -> Value:
    """The mask with keys before queries, made once for all layers that share it."""
    if mask not in masks:
        assert mask.shape is not None
        shape = (*mask.shape[:2], mask.shape[3], mask.shape[2])
        turned = Value(derived(mask, "by_key"), mask.dtype, shape, layout=PADDED)
        node = Node("Transpose", [mask], [turned], {"perm": [0, 1, 3, 2]})
        producer = mask.producer
        position = graph.nodes.index(producer) + 1 if producer is not None else 0
        graph.nodes.insert(position, node)
        masks[mask] = turned
    return masks[mask]
