"""A layer's inputs, as a node of an ONNX graph takes them, in the shape of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from gossamer.models.onnx_constants import attribute
from gossamer.models.onnx_layers import OnnxLayer, Use
from gossamer.models.padding import without_padding
from gossamer.models.unfold import unfold

if TYPE_CHECKING:
    from torch import Tensor


def rows_first(use: Use, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what a node multiplies by its weight as `[..., columns]`; a convolution's as it is."""
    return inputs.swapaxes(-1, -2) if use.left else inputs


def pieces(
    use: Use, found: OnnxLayer, inputs: Tensor, target: Tensor | None, mask: Tensor | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield a layer's inputs as matrices, each with its part of the target.

    Args:
        use: of the layer.
        found: the layer.
        inputs: as `rows_first` gives them.
        target: what the node should give, in its shape; None if nothing says so.
        mask: that speaks of the inputs' positions; None if none does.
    """
    layer = found.layer
    if layer.kind == "experts":
        yield _by_expert(inputs, found), None
        return
    if layer.kind != "convolution":
        yield (
            without_padding(inputs, mask),
            None if target is None else without_padding(target, mask),
        )
        return
    if target is not None:
        grouped = target.reshape(len(target), layer.groups, layer.rows // layer.groups, -1)
        target = grouped.permute(1, 0, 3, 2).reshape(layer.groups, -1, grouped.shape[2])
    start = 0
    for piece in _unfolded(use.node, found, inputs):
        end = start + piece.shape[1]
        yield piece, None if target is None else target[:, start:end]
        start = end


def _by_expert(inputs: Tensor, found: OnnxLayer) -> Tensor:
    """Return the inputs of stacked products as `[groups, n, columns]`."""
    shape = np.broadcast_shapes(tuple(inputs.shape[:-2]), found.stack)
    stack = (*[1] * (len(shape) - len(found.stack)), *found.stack)
    # Where all groups are one along an axis, what lies along it are samples.
    order = sorted(range(len(shape)), key=lambda axis: stack[axis] == 1)
    spread = inputs.expand(*shape, *inputs.shape[-2:]).permute(*order, -2, -1)
    return spread.reshape(found.layer.groups, -1, inputs.shape[-1])


def _unfolded(node: onnx.NodeProto, found: OnnxLayer, inputs: Tensor) -> Iterator[Tensor]:
    """Yield the inputs of a Conv node as matrices."""
    kernel = found.layer.kernel
    axes = len(kernel)
    stride = attribute(node, "strides", [1] * axes)
    dilation = attribute(node, "dilations", [1] * axes)
    return unfold(
        inputs,
        kernel,
        stride=stride,
        padding=_padding(node, kernel, stride, dilation, tuple(inputs.shape[2:])),
        dilation=dilation,
        groups=found.layer.groups,
    )


def _padding(
    node: onnx.NodeProto,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    sizes: Sequence[int],
) -> list[tuple[int, int]]:
    """Return the zeros before and after each spatial axis of a Conv node's input."""
    automatic = attribute(node, "auto_pad", "NOTSET")
    axes = len(kernel)
    if automatic == "VALID":
        return [(0, 0)] * axes
    if automatic == "NOTSET":
        pads = attribute(node, "pads", [0] * (2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    padding = []
    for size, taps, step, spread in zip(sizes, kernel, stride, dilation, strict=True):
        outputs = -(-size // step)
        total = max(0, (outputs - 1) * step + spread * (taps - 1) + 1 - size)
        less, more = total // 2, total - total // 2
        padding.append((less, more) if automatic == "SAME_UPPER" else (more, less))
    return padding
