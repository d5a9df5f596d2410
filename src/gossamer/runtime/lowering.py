"""From a node to the call of a kernel: which kernel, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gossamer.graphs.dims import Size, ceiling, product
from gossamer.graphs.operation import shape_of
from gossamer.graphs.ops.reduction import reduced_axes
from gossamer.runtime import tuning
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels import dense_plain, dense_rows, pointwise, rearrange, tokens
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import Kernel, address_of, key_of
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.kernels.matmul import MatMul
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.kernels.pooling import GlobalAverage, Pool
from gossamer.runtime.kernels.reduction import REDUCTIONS, ArgReduction, Reduction
from gossamer.runtime.kernels.softmax import Softmax
from gossamer.runtime.kernels.surround import Surround
from gossamer.runtime.layouts import GROUP, PLAIN, TILE, TOKENS, Plain, Planes
from gossamer.runtime.passes.partition import ALIASES
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Alias, Call


def lower(node: Node, target: Target) -> list[Call | Alias]:
    """The steps that do what a native node says."""
    if node.op in ALIASES:
        return [Alias(node.source(0), node.output)]
    if node.op == "Surround":
        # In place: the output is the input's memory.
        return [Alias(node.source(0), node.output), _surround(node, target)]
    return [_LOWERINGS[node.op](node, target)]


def _call(
    kernel: Kernel, label: str, target: Target, node: Node, given: Mapping[str, Given]
) -> Call:
    """The call of a kernel for a node, checked against what the kernel takes."""
    op, sparsity = node.op, None
    if "nodes" in node.attributes:
        op = "+".join(member.op for member in reversed(node.attributes["nodes"]))
    elif op in ("Linear", "Convolution"):
        weights = node.source(1).data
        assert weights is not None
        sparsity = tuning.sparsity(weights)
    arguments = kernel.signature.bind(given)
    address, code = address_of(kernel, target), key_of(kernel, target)
    return Call(label, address, arguments, node.name, op, sparsity, code)


def _linear(node: Node, target: Target) -> Call:
    x, output, weights = node.source(0), node.output, node.source(1).data
    assert weights is not None
    rows, columns = weights.shape
    bias = node.inputs[2]
    vector = bias.data if bias is not None else np.zeros(rows, np.float32)
    assert vector is not None
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    operands = dict(zip(epilogue.operands, _others(node), strict=True))
    given: dict[str, Given] = {"x": x, "y": output, "bias": vector, **operands}
    if output.layout == PLAIN:
        given["bias"] = np.pad(vector, (0, -rows % dense_plain.OUTPUTS))
        given["weights"] = dense_rows.pack(weights, dense_plain.OUTPUTS)
        given |= {"samples": shape_of(x)[0], "columns": columns, "rows": rows}
        return _call(dense_plain.DensePlain(epilogue), "dense linear", target, node, given)
    given |= tokens.arguments(shape_of(x), columns, rows)
    choice = tuning.choose_linear(weights, target)
    kernel = tuning.linear_kernel(choice, epilogue, target)
    given |= tuning.linear_weights(kernel, choice, weights)
    return _call(kernel, f"{_kind(choice)} linear", target, node, given)


def _others(node: Node) -> list[Value]:
    """What a layer takes beside its input, weights and bias."""
    return [value for value in node.inputs[3:] if value is not None]


def _kind(choice: tuning.Choice) -> str:
    if not choice.sparse:
        return "dense"
    return f"block {choice.together}x1 sparse" if choice.together > 1 else "sparse"


def _layer_norm(node: Node, target: Target) -> Call:
    x, bias = node.source(0), node.input(2)
    channels = shape_of(x)[-1]
    assert isinstance(channels, int)
    shift = bias.data if bias is not None else np.zeros(channels, np.float32)
    scale = node.source(1).data
    assert scale is not None and shift is not None
    given: dict[str, Given] = {"x": x, "y": node.output, "scale": scale, "bias": shift}
    given |= {"groups": TOKENS.groups(shape_of(x)), "channels": channels}
    kernel = LayerNorm(float(node.attributes.get("epsilon", 1e-5)))
    return _call(kernel, "layer norm", target, node, given)


def _attention(node: Node, target: Target) -> Call:
    attributes = node.attributes
    kernel = Attention(*(attributes[name] for name in ("head", "scale", "mask", "zero_nan")))
    arrays = {name: node.source(place) for place, name in enumerate(("queries", "keys", "values"))}
    arrays["output"] = node.output
    sequences, queries, _ = shape_of(arrays["queries"])
    given: dict[str, Given] = {"sequences": sequences, "heads": attributes["heads"]}
    given |= {"query_count": queries, "key_count": shape_of(arrays["keys"])[1], **arrays}
    given |= {f"{name}_tile": shape_of(value)[-1] * TILE for name, value in arrays.items()}
    mask = node.input(3)
    if mask is not None:
        given |= {"mask": mask, **_mask_steps(shape_of(mask), kernel.full)}
    return _call(kernel, "attention", target, node, given)


def _mask_steps(shape: tuple[Size, ...], full: bool) -> dict[str, Size]:
    """Floats from sequence to sequence, from head to head and from key to key; 0 where shared.

    A mask `full` is `[batch, heads, keys, queries]` with padded rows; one by key is
    `[batch, heads, 1, keys]`.
    """
    batch, heads, first, last = shape
    row = ceiling(last, GROUP) * GROUP if full else last
    shared, key = (first == 1, row) if full else (last == 1, 1)
    return {
        "mask_sequence": 0 if batch == 1 else heads * first * row,
        "mask_head": 0 if heads == 1 else first * row,
        "mask_key": 0 if shared else key,
    }


def _convolution(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    weights, bias = node.source(1).data, node.inputs[2]
    assert weights is not None
    rows, group = weights.shape[0], node.attributes["group"]
    weights = weights.reshape(*weights.shape[:2], -1)
    vector = bias.data if bias is not None else np.zeros(rows, np.float32)
    assert vector is not None
    operands = _others(node)
    geometry = _geometry(node, operands)
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    choice = tuning.choose_conv(weights, group, geometry, target)
    kernel = tuning.conv_kernel(choice, weights, group, geometry, epilogue, target)
    given: dict[str, Given] = {"x": x, "y": output, "bias": vector, "images": shape_of(x)[0]}
    given |= tuning.conv_weights(kernel, choice, weights, group, geometry)
    placed = zip(epilogue.operands, operands, geometry.operands, strict=True)
    for name, value, layout in placed:
        given |= {name: value, f"{name}_plane": layout.plane}
    return _call(kernel, f"{_kind(choice)} convolution", target, node, given)


def _geometry(node: Node, operands: Sequence[Value] = ()) -> Geometry:
    """How the output of a window and what it reads lie."""
    source, output, *others = (value.layout for value in (node.source(0), node.output, *operands))
    assert isinstance(source, Planes) and isinstance(output, Planes)
    placed = tuple(layout for layout in others if isinstance(layout, Planes))
    return Geometry(source, output, node.attributes["strides"], node.attributes["taps"], placed)


def _planes(value: Value) -> Size:
    return product(shape_of(value)[:2])


def _pool(node: Node, target: Target) -> Call:
    geometry = _geometry(node)
    given: dict[str, Given] = {"x": node.source(0), "y": node.output}
    given |= {"kept": geometry.output.kept(), "planes": _planes(node.output)}
    return _call(Pool(node.op == "MaxPool", geometry), "pooling", target, node, given)


def _global_pool(node: Node, target: Target) -> Call:
    x = node.source(0)
    assert isinstance(x.layout, Planes)
    given: dict[str, Given] = {"x": x, "y": node.output, "planes": _planes(node.output)}
    return _call(GlobalAverage(x.layout), "pooling", target, node, given)


def _surround(node: Node, target: Target) -> Call:
    layout = node.output.layout
    assert isinstance(layout, Planes)
    given: dict[str, Given] = {"array": node.output, "planes": _planes(node.output)}
    return _call(Surround(layout), "surround", target, node, given)


def _rearrange(node: Node, target: Target) -> Call:
    x, output = node.source(0), node.output
    assert isinstance(x.layout, Plain | Planes) and isinstance(output.layout, Plain | Planes)
    height, width = shape_of(x)[2:]
    assert isinstance(height, int) and isinstance(width, int)
    strides = node.attributes.get("strides", (1, 1))
    places = rearrange.places((height, width), x.layout, output.layout, strides)
    x_plane, y_plane = (
        layout.plane if isinstance(layout, Planes) else height * width
        for layout in (x.layout, output.layout)
    )
    given: dict[str, Given] = {"x": x, "y": output, "places": places, "count": places.size}
    given |= {"x_plane": x_plane, "y_plane": y_plane, "planes": _planes(output)}
    kernel = rearrange.Rearrange(node.attributes.get("fill", 0.0))
    return _call(kernel, "rearrange", target, node, given)


def _pointwise(node: Node, target: Target) -> Call:
    kernel = pointwise.Pointwise(
        node.attributes["expression"], len(node.attributes["sizes"]), node.output.layout
    )
    return _call(kernel, "pointwise", target, node, _elements(node))


def _elements(node: Node) -> dict[str, Given]:
    """What a kernel over an expression takes."""
    inputs = [value for value in node.inputs if value is not None]
    return {"output": node.output, **pointwise.arguments(inputs, node.attributes["sizes"])}


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
    return _call(kernel, "reduction", target, node, _elements(node))


def _softmax(node: Node, target: Target) -> Call:
    shape = shape_of(node.source(0))
    axis = node.attributes.get("axis", -1) % len(shape)
    inner = product(shape[axis + 1 :])
    given: dict[str, Given] = {"x": node.source(0), "y": node.output, "length": shape[axis]}
    given |= {"outer": product(shape[:axis]), "inner": inner}
    kernel = Softmax(node.op == "LogSoftmax", rows=inner == 1)
    return _call(kernel, "softmax", target, node, given)


def _matmul(node: Node, target: Target) -> Call:
    left, right, output = node.source(0), node.source(1), node.output
    *batch, rows, columns = shape_of(output)
    kernel = MatMul(len(batch))

    def named(name: str, sizes: Sequence[Size]) -> dict[str, Given]:
        return dict(zip(map(str, kernel.of_axes(name)), sizes, strict=True))

    def steps(value: Value) -> list[Size]:
        """Matrices from one to the next along each axis of the batch; 0 where there is one."""
        own = shape_of(value)[:-2]
        own = (*[1] * (len(batch) - len(own)), *own)
        return [0 if size == 1 else product(own[axis + 1 :]) for axis, size in enumerate(own)]

    given: dict[str, Given] = {"left": left, "right": right, "output": output}
    given |= {"rows": rows, "inner": shape_of(left)[-1], "columns": columns}
    given |= named("size", batch) | named("left_step", steps(left))
    given |= named("right_step", steps(right))
    return _call(kernel, "dense product", target, node, given)


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
