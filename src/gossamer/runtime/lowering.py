"""From a node to the call of a kernel: which kernel, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossamer.runtime import tuning
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.dims import Size, product
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels import dense_linear, sparse_conv, sparse_linear
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import Kernel, address_of
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.kernels.matmul import PANEL, MatMul
from gossamer.runtime.kernels.pointwise import Pointwise
from gossamer.runtime.kernels.pooling import GlobalAverage, Pool
from gossamer.runtime.kernels.reduction import REDUCTIONS, ArgReduction, Reduction
from gossamer.runtime.kernels.softmax import Softmax
from gossamer.runtime.kernels.sparse_conv import Tap
from gossamer.runtime.layouts import GROUP, TILE, TOKENS, Planes
from gossamer.runtime.passes.partition import ALIASES
from gossamer.runtime.program import Alias, Argument, Call, Flag, Scratch, Sizes
from gossamer.runtime.shapes import reduced_axes, shape_of


def lower(node: Node, target: Target) -> Call | Alias:
    """The call that does what a native node says."""
    if node.op in ALIASES:
        return Alias(node.source(0), node.output)
    return _LOWERINGS[node.op](node, target)


def _call(
    kernel: Kernel, label: str, target: Target, arguments: list[Argument], node: Node
) -> Call:
    op, sparsity = node.op, None
    if "nodes" in node.attributes:
        op = "+".join(member.op for member in reversed(node.attributes["nodes"]))
    elif op in ("Linear", "Convolution"):
        weights = node.source(1).data
        assert weights is not None
        sparsity = 1 - float(np.count_nonzero(weights)) / max(weights.size, 1)
    return Call(label, address_of(kernel, target), arguments, node.name, op, sparsity)


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


def _reduction(node: Node, target: Target) -> Call:
    root = node.attributes["nodes"][0]
    expression, sizes = node.attributes["expression"], node.attributes["sizes"]
    rank = len(expression.shape)
    kernel: Kernel
    if node.op in ("ArgMax", "ArgMin"):
        axis = root.attributes.get("axis", 0) % rank
        last = bool(root.attributes.get("select_last_index", 0))
        kernel = ArgReduction(node.op, expression, axis, last, len(sizes))
    else:
        axes = tuple(sorted(reduced_axes(root, rank)))
        kernel = Reduction(node.op, expression, axes, len(sizes))
    arguments: list[Argument] = [node.output, Flag()]
    arguments += [value for value in node.inputs if value is not None]
    arguments += [_number(size) for size in sizes]
    return _call(kernel, "reduction", target, arguments, node)


def _softmax(node: Node, target: Target) -> Call:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", -1) % len(shape)
    sizes = [product(shape[:axis]), shape[axis], product(shape[axis + 1 :])]
    kernel = Softmax(node.op == "LogSoftmax", rows=sizes[2] == 1)
    arguments: list[Argument] = [node.source(0), node.output]
    arguments += [_number(size) for size in sizes]
    return _call(kernel, "softmax", target, arguments, node)


def _matmul(node: Node, target: Target) -> Call:
    left, right, output = node.source(0), node.source(1), node.output
    batch = shape_of(output)[:-2]
    inner = shape_of(left)[-1]

    def scratch(sizes: Sizes) -> int:
        return sizes.number(inner) * PANEL * 4

    def steps(value: Value) -> list[Argument]:
        """Matrices from one to the next along each axis of the batch; 0 where there is one."""
        own = shape_of(value)[:-2]
        own = (*[1] * (len(batch) - len(own)), *own)
        return [
            0 if size == 1 else _number(product(own[axis + 1 :])) for axis, size in enumerate(own)
        ]

    arguments: list[Argument] = [left, right, output, Scratch(scratch)]
    arguments += [lambda sizes: scratch(sizes), _number(shape_of(output)[-2]), _number(inner)]
    arguments += [_number(shape_of(output)[-1]), *(_number(size) for size in batch)]
    arguments += [*steps(left), *steps(right)]
    return _call(MatMul(len(batch)), "dense product", target, arguments, node)


_LOWERINGS: dict[str, Callable[[Node, Target], Call]] = {
    "Linear": _linear,
    "LayerNormalization": _layer_norm,
    "Attention": _attention,
    "Convolution": _convolution,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "Pointwise": _pointwise,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    **dict.fromkeys(REDUCTIONS, _reduction),
}
