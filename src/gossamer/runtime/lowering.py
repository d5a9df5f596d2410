"""From a node to the call of a kernel: which kernel, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossamer.runtime import tuning
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.dims import Size
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels import dense_linear, sparse_conv, sparse_linear
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import Kernel, address_of, key_of
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.kernels.pointwise import Pointwise
from gossamer.runtime.kernels.pooling import GlobalAverage, Pool
from gossamer.runtime.kernels.sparse_conv import Tap
from gossamer.runtime.layouts import GROUP, TILE, TOKENS, Planes
from gossamer.runtime.passes.partition import ALIASES
from gossamer.runtime.program import Alias, Argument, Call, Flag, Scratch, Sizes


def lower(node: Node, target: Target) -> Call | Alias:
    """The call that does what a native node says."""
    if node.op in ALIASES:
        return Alias(node.source(0), node.output)
    return _LOWERINGS[node.op](node, target)


def _call(
    kernel: Kernel, label: str, target: Target, arguments: list[Argument], node: Node
) -> Call:
    op, sparsity = node.op, None
    if op == "Pointwise":
        op = "+".join(member.op for member in reversed(node.attributes["nodes"]))
    elif op in ("Linear", "Convolution"):
        weights = node.source(1).data
        assert weights is not None
        sparsity = 1 - float(np.count_nonzero(weights)) / max(weights.size, 1)
    address, code = address_of(kernel, target), key_of(kernel, target)
    return Call(label, address, arguments, node.name, op, sparsity, code)


def _tiles(value: Value) -> Argument:
    return lambda sizes: TOKENS.tiles(sizes.shape(value))


def _groups(value: Value) -> Argument:
    return lambda sizes: TOKENS.groups(sizes.shape(value))


def _last_groups(value: Value) -> Argument:
    def count(sizes: Sizes) -> int:
        shape = sizes.shape(value)
        return TOKENS.groups(shape) - (TOKENS.tiles(shape) - 1) * (TILE // GROUP)

    return count


def _linear(node: Node, target: Target) -> Call:
    x, output, weights = node.source(0), node.output, node.source(1).data
    assert weights is not None
    rows, columns = weights.shape
    bias = node.inputs[2]
    vector = bias.data if bias is not None else np.zeros(rows, np.float32)
    assert vector is not None
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    others: list[Argument] = [value for value in node.inputs[3:] if value is not None]
    shared: list[Argument] = [_tiles(x), _last_groups(x), columns * TILE, rows * TILE]
    choice = tuning.choose(weights, target)
    if choice.sparse:
        packed = sparse_linear.pack(weights, choice.block, tuning.CHUNKS)
        blocks = [choice.block * TILE, -(-columns // choice.block), tuning.CHUNKS]
        arguments = [x, output, vector, *packed.arrays(), *shared, *blocks, *others]
        return _call(sparse_linear.SparseLinear(epilogue), "sparse linear", target, arguments, node)
    matrix = dense_linear.pack(weights, dense_linear.rows_in_block(target))
    arguments = [x, output, vector, matrix, *shared, columns, rows, *others]
    return _call(dense_linear.DenseLinear(epilogue), "dense linear", target, arguments, node)


def _layer_norm(node: Node, target: Target) -> Call:
    x, bias = node.source(0), node.input(2)
    assert x.shape is not None and isinstance(x.shape[-1], int)
    shift = bias.data if bias is not None else np.zeros(x.shape[-1], np.float32)
    scale = node.source(1).data
    assert scale is not None and shift is not None
    arguments: list[Argument] = [x, node.output, scale, shift, _groups(x), x.shape[-1]]
    kernel = LayerNorm(float(node.attributes.get("epsilon", 1e-5)))
    return _call(kernel, "layer norm", target, arguments, node)


def _attention(node: Node, target: Target) -> Call:
    queries, keys, values = (node.source(i) for i in range(3))
    mask, given = node.input(3), node.attributes
    kernel = Attention(given["head"], given["scale"], given["mask"], given["zero_nan"])

    def scratch(sizes: Sizes) -> int:
        return sizes.shape(keys)[1] * TILE * 4

    def tile(value: Value) -> Argument:
        return lambda sizes: sizes.shape(value)[-1] * TILE

    room = Scratch(scratch)
    arguments: list[Argument] = [queries, keys, values, node.output, room]
    arguments += [
        lambda sizes: scratch(sizes),
        _size(queries, 0),
        given["heads"],
        _size(queries, 1),
        _size(keys, 1),
        tile(queries),
        tile(keys),
        tile(values),
        tile(node.output),
    ]
    if mask is not None:
        arguments += [mask, *_mask_steps(mask, full=given["mask"] == "full")]
    return _call(kernel, "attention", target, arguments, node)


def _mask_steps(mask: Value, full: bool) -> list[Argument]:
    """Floats from sequence to sequence, from head to head and from key to key; 0 where shared.

    A mask `full` is `[batch, heads, keys, queries]` with padded rows; one by key is
    `[batch, heads, 1, keys]`.
    """
    assert mask.shape is not None
    batch, heads, first, _ = mask.shape

    def row(sizes: Sizes) -> int:
        last = sizes.shape(mask)[3]
        return -(-last // GROUP) * GROUP if full else last

    def matrix(sizes: Sizes) -> int:
        return sizes.shape(mask)[2] * row(sizes)

    def sequence(sizes: Sizes) -> int:
        return 0 if batch == 1 else sizes.shape(mask)[1] * matrix(sizes)

    def head(sizes: Sizes) -> int:
        return 0 if heads == 1 else matrix(sizes)

    def key(sizes: Sizes) -> int:
        if full:
            return 0 if first == 1 else row(sizes)
        return 0 if mask.shape is not None and mask.shape[3] == 1 else 1

    return [sequence, head, key]


def _convolution(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    weights, bias = node.source(1).data, node.inputs[2]
    assert (
        weights is not None and isinstance(x.layout, Planes) and isinstance(output.layout, Planes)
    )
    rows = weights.shape[0]
    vector = bias.data if bias is not None else np.zeros(rows, np.float32)
    assert vector is not None
    taps = [Tap(*tap) for tap in node.attributes["taps"]]
    group, phases = node.attributes["group"], node.attributes["phases"]
    lists = sparse_conv.pack(weights, group, taps, phases, x.layout, output.layout, tuning.CHUNKS)
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    kernel = sparse_conv.SparseConv(x.layout, output.layout, epilogue)
    arguments: list[Argument] = [x, output, vector, *lists.arrays(), output.layout.kept()]
    arguments += [_size(x, 0), _size(x, 1), rows, lists.segments.shape[0], tuning.CHUNKS]
    arguments += [value for value in node.inputs[3:] if value is not None]
    return _call(kernel, "sparse convolution", target, arguments, node)


def _size(value: Value, axis: int) -> Argument:
    return lambda sizes: sizes.shape(value)[axis]


def _pool(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    assert isinstance(x.layout, Planes) and isinstance(output.layout, Planes)
    taps = tuple(Tap(*tap) for tap in node.attributes["taps"])
    kernel = Pool(node.op == "MaxPool", taps, node.attributes["phases"], x.layout, output.layout)
    arguments: list[Argument] = [x, output, output.layout.kept()]
    arguments.append(lambda sizes: sizes.shape(output)[0] * sizes.shape(output)[1])
    return _call(kernel, "pooling", target, arguments, node)


def _global_pool(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    assert isinstance(x.layout, Planes)
    planes: Argument = lambda sizes: sizes.shape(output)[0] * sizes.shape(output)[1]  # noqa: E731
    return _call(GlobalAverage(x.layout), "pooling", target, [x, output, planes], node)


def _number(size: Size) -> Argument:
    return lambda sizes: sizes.number(size)


def _pointwise(node: Node, target: Target) -> Call:
    expression, sizes = node.attributes["expression"], node.attributes["sizes"]
    kernel = Pointwise(expression, len(sizes), node.output.layout)
    arguments: list[Argument] = [node.output, Flag()]
    arguments += [value for value in node.inputs if value is not None]
    arguments += [_number(size) for size in sizes]
    return _call(kernel, "pointwise", target, arguments, node)


_LOWERINGS: dict[str, Callable[[Node, Target], Call]] = {
    "Linear": _linear,
    "LayerNormalization": _layer_norm,
    "Attention": _attention,
    "Convolution": _convolution,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "Pointwise": _pointwise,
}
