"""From a node to the call of a kernel: which kernel, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gossamer.graphs.dims import Size, product
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.reduction import reduced_axes
from gossamer.runtime import tuning
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels import (
    dense_conv,
    dense_linear,
    dense_plain,
    dense_rows,
    rearrange,
    sparse_conv,
    sparse_linear,
)
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import Kernel, address_of, key_of
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.kernels.matmul import PANEL, MatMul
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.pointwise import Pointwise
from gossamer.runtime.kernels.pooling import GlobalAverage, Pool
from gossamer.runtime.kernels.reduction import REDUCTIONS, ArgReduction, Reduction
from gossamer.runtime.kernels.softmax import Softmax
from gossamer.runtime.kernels.surround import Surround
from gossamer.runtime.layouts import GROUP, PLAIN, TILE, TOKENS, Plain, Planes
from gossamer.runtime.passes.partition import ALIASES
from gossamer.runtime.steps import Alias, Argument, Call, Flag, Scratch, Sizes
from gossamer.runtime.tuning import CHUNKS


def lower(node: Node, target: Target) -> list[Call | Alias]:
    """The steps that do what a native node says."""
    if node.op in ALIASES:
        return [Alias(node.source(0), node.output)]
    if node.op == "Surround":
        # In place: the output is the input's memory.
        return [Alias(node.source(0), node.output), _surround(node, target)]
    return [_LOWERINGS[node.op](node, target)]


def _call(
    kernel: Kernel, label: str, target: Target, arguments: list[Argument], node: Node
) -> Call:
    op, sparsity = node.op, None
    if "nodes" in node.attributes:
        op = "+".join(member.op for member in reversed(node.attributes["nodes"]))
    elif op in ("Linear", "Convolution"):
        weights = node.source(1).data
        assert weights is not None
        sparsity = tuning.sparsity(weights)
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
    if output.layout == PLAIN:
        filled = np.pad(vector, (0, -rows % dense_plain.OUTPUTS))
        plain: list[Argument] = [x, output, filled, dense_rows.pack(weights, dense_plain.OUTPUTS)]
        plain += [_size(x, 0), columns, rows, *others]
        return _call(dense_plain.DensePlain(epilogue), "dense linear", target, plain, node)
    shared: list[Argument] = [_tiles(x), _last_groups(x), columns * TILE, rows * TILE]
    assert all(value.layout == TOKENS for value in (x, output, *node.inputs[3:]) if value)
    choice = tuning.choose_linear(weights, target)
    if not choice.sparse:
        matrix = dense_rows.pack(weights, dense_linear.block_of(target))
        arguments = [x, output, vector, matrix, *shared, columns, rows, *others]
        kernel: Kernel = dense_linear.DenseLinear(epilogue)
        return _call(kernel, "dense linear", target, arguments, node)
    packed = sparse_linear.pack(weights, choice.block, CHUNKS, choice.together)
    blocks = [choice.block * TILE, -(-columns // choice.block), CHUNKS]
    arguments = [x, output, vector, *packed.arrays(), *shared, *blocks, *others]
    kernel = sparse_linear.SparseLinear(epilogue, choice.together)
    return _call(kernel, f"{_kind(choice)} linear", target, arguments, node)


def _kind(choice: tuning.Choice) -> str:
    return f"block {choice.together}x1 sparse" if choice.together > 1 else "sparse"


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
    assert weights is not None
    rows, group = weights.shape[0], node.attributes["group"]
    weights = weights.reshape(*weights.shape[:2], -1)
    vector = bias.data if bias is not None else np.zeros(rows, np.float32)
    assert vector is not None
    operands = [value for value in node.inputs[3:] if value is not None]
    geometry = _geometry(node, operands)
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    choice = tuning.choose_conv(weights, group, geometry, target)
    shapes, table = geometry.shapes(choice.tiling), geometry.table(choice.tiling)
    planes = geometry.source.plane, geometry.output.plane
    masked = not geometry.output.exact
    vectors = geometry.output.down * geometry.output.across
    images: list[Argument] = [
        table,
        len(table),
        vectors,
        _size(x, 0),
        weights.shape[1] * group * planes[0],
    ]
    last: list[Argument] = [geometry.output.kept()]
    for value, layout in zip(operands, geometry.operands, strict=True):
        last += [value, layout.plane]
    if not choice.sparse:
        dense = dense_conv.DenseConv(shapes, epilogue, masked)
        matrix = dense_rows.pack(weights.reshape(rows, -1), dense.block(target))
        places = dense_conv.places(geometry, weights.shape[1])
        arguments = [x, output, vector, matrix, places, *images, planes[1], rows, matrix.shape[1]]
        return _call(dense, "dense convolution", target, [*arguments, *last], node)
    lists = sparse_conv.pack(weights, group, geometry, choice.block, CHUNKS, choice.together)
    wide = lists.offsets.itemsize == 4
    sparse = sparse_conv.SparseConv(shapes, epilogue, wide, masked, choice.together)
    arguments = [x, output, vector, *lists.arrays(), *images, planes[1], rows]
    arguments += [choice.block * planes[0], len(lists.segments), CHUNKS]
    return _call(sparse, f"{_kind(choice)} convolution", target, [*arguments, *last], node)


def _geometry(node: Node, operands: Sequence[Value] = ()) -> Geometry:
    """How the output of a window and what it reads lie."""
    source, output, *others = (value.layout for value in (node.source(0), node.output, *operands))
    assert isinstance(source, Planes) and isinstance(output, Planes)
    placed = tuple(layout for layout in others if isinstance(layout, Planes))
    return Geometry(source, output, node.attributes["strides"], node.attributes["taps"], placed)


def _size(value: Value, axis: int) -> Argument:
    return lambda sizes: sizes.shape(value)[axis]


def _planes(value: Value) -> Argument:
    return lambda sizes: sizes.shape(value)[0] * sizes.shape(value)[1]


def _pool(node: Node, target: Target) -> Call:
    geometry = _geometry(node)
    kernel = Pool(node.op == "MaxPool", geometry)
    arguments: list[Argument] = [node.source(0), node.output, geometry.output.kept()]
    return _call(kernel, "pooling", target, [*arguments, _planes(node.output)], node)


def _global_pool(node: Node, target: Target) -> Call:
    x = node.source(0)
    assert isinstance(x.layout, Planes)
    arguments: list[Argument] = [x, node.output, _planes(node.output)]
    return _call(GlobalAverage(x.layout), "pooling", target, arguments, node)


def _surround(node: Node, target: Target) -> Call:
    layout = node.output.layout
    assert isinstance(layout, Planes)
    arguments: list[Argument] = [node.output, _planes(node.output)]
    return _call(Surround(layout), "surround", target, arguments, node)


def _rearrange(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    assert isinstance(x.layout, Plain | Planes) and isinstance(output.layout, Plain | Planes)
    assert x.shape is not None
    height, width = x.shape[2:]
    assert isinstance(height, int) and isinstance(width, int)
    strides = node.attributes.get("strides", (1, 1))
    places = rearrange.places((height, width), x.layout, output.layout, strides)
    planes = [
        layout.plane if isinstance(layout, Planes) else height * width
        for layout in (x.layout, output.layout)
    ]
    kernel = rearrange.Rearrange(node.attributes.get("fill", 0.0))
    arguments: list[Argument] = [x, output, places, places.size, *planes, _planes(output)]
    return _call(kernel, "rearrange", target, arguments, node)


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
    "Rearrange": _rearrange,
    "Pointwise": _pointwise,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    **dict.fromkeys(REDUCTIONS, _reduction),
}
