"""Layers that the compiler makes of several operators, in its own domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gossamer.graphs.dims import Size, ceiling
from gossamer.graphs.operation import shape_of
from gossamer.runtime import tuning
from gossamer.runtime.calls import call
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels import dense_plain, dense_rows, tokens
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.layouts import GROUP, PLAIN, TILE
from gossamer.runtime.native import Native
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call
from gossamer.runtime.taps import geometry_of


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
        return call(dense_plain.DensePlain(epilogue), "dense linear", target, node, given)
    given |= tokens.arguments(shape_of(x), columns, rows)
    choice = tuning.choose_linear(weights, target)
    kernel = tuning.linear_kernel(choice, epilogue, target)
    given |= tuning.linear_weights(kernel, choice, weights)
    return call(kernel, f"{_kind(choice)} linear", target, node, given)


def _others(node: Node) -> list[Value]:
    """What a layer takes beside its input, weights and bias."""
    return [value for value in node.inputs[3:] if value is not None]


def _kind(choice: tuning.Choice) -> str:
    if not choice.sparse:
        return "dense"
    return f"block {choice.together}x1 sparse" if choice.together > 1 else "sparse"


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
    return call(kernel, "attention", target, node, given)


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
    geometry = geometry_of(node, operands)
    epilogue = Epilogue(tuple(node.attributes["steps"]))
    choice = tuning.choose_conv(weights, group, geometry, target)
    kernel = tuning.conv_kernel(choice, weights, group, geometry, epilogue, target)
    given: dict[str, Given] = {"x": x, "y": output, "bias": vector, "images": shape_of(x)[0]}
    given |= tuning.conv_weights(kernel, choice, weights, group, geometry)
    placed = zip(epilogue.operands, operands, geometry.operands, strict=True)
    for name, value, layout in placed:
        given |= {name: value, f"{name}_plane": layout.plane}
    return call(kernel, f"{_kind(choice)} convolution", target, node, given)


def _listed(lower: Callable[[Node, Target], Call]) -> Callable[[Node, Target], Sequence[Call]]:
    return lambda node, target: [lower(node, target)]


def _always(node: Node) -> str:
    return ""


NATIVE = {
    "gossamer.Linear": Native(_always, lower=_listed(_linear), lies="tiles", is_heavy=True),
    "gossamer.Attention": Native(_always, lower=_listed(_attention), lies="tiles", is_heavy=True),
    "gossamer.Convolution": Native(
        _always, lower=_listed(_convolution), lies="images", is_heavy=True
    ),
}
