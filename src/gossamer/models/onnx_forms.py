"""Operators that multiply by a weight: how each uses it, and the weight as a matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import onnx

from gossamer.models.onnx_constants import Constants, Stored, attribute


@dataclass(frozen=True)
class Form:
    """One weight of a node.

    Attributes:
        kind: of layer; see `gossamer.models.adapter.Layer`.
        weight: as `[rows, columns]`.
        inputs: the value whose rows the weight is multiplied by; None where they cannot be seen.
        gain: whether a kernel skips its zeros.
        position: of the weight among the node's inputs.
        part: what is added to the node's name, where it has several weights.
        left: the weight is the first operand, and the inputs are columns.
        groups, depthwise, kernel: see `Layer`.
        stack: of stacked products, the leading axes; together as many as there are groups.
    """

    kind: Literal["linear", "convolution", "embedding", "recurrent", "experts"]
    weight: Stored
    inputs: str | None = None
    gain: bool = False
    position: int = 1
    part: str = ""
    left: bool = False
    groups: int = 1
    depthwise: bool = False
    kernel: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()


def _weight(node: onnx.NodeProto, constants: Constants, position: int, rank: int) -> Stored | None:
    """Return an operand that is constant and of so many axes, or more where `rank` is negative."""
    stored = constants.get(node.input[position]) if position < len(node.input) else None
    if stored is None or not min(stored.dims, default=0):
        return None
    fits = len(stored.dims) == rank if rank > 0 else len(stored.dims) >= -rank
    return stored if fits else None


def _product(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """A MatMul by a matrix, by one matrix a group (stacked experts), or of a matrix by inputs."""
    left = node.input[0] in constants
    if left and node.input[1] in constants:
        return
    if left:
        stored = _weight(node, constants, 0, 2)
        if stored is not None:
            yield Form("linear", stored, node.input[1], position=0, left=True)
        return
    stored = _weight(node, constants, 1, -2)
    if stored is None:
        return
    *batch, columns, rows = stored.dims
    if not batch:
        yield Form("linear", stored.turned(1, 0), node.input[0], gain=True)
        return
    groups = prod(batch)
    weight = stored.reshaped(groups, columns, rows).turned(0, 2, 1)
    weight = weight.reshaped(groups * rows, columns)
    yield Form("experts", weight, node.input[0], groups=groups, stack=tuple(batch))


def _gemm(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    stored = _weight(node, constants, 1, 2)
    if stored is not None and node.input[0] not in constants and not attribute(node, "transA", 0):
        weight = stored if attribute(node, "transB", 0) else stored.turned(1, 0)
        yield Form("linear", weight, node.input[0], gain=True)


def _fused_product(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """MatMul and Gemm as ONNX Runtime's optimizer writes them; they run in ONNX Runtime."""
    turned = [attribute(node, name, 0) for name in ("transA", "transBatchA", "transBatchB")]
    stored = _weight(node, constants, 1, 2)
    if stored is not None and node.input[0] not in constants and not any(turned):
        weight = stored if attribute(node, "transB", 0) else stored.turned(1, 0)
        yield Form("linear", weight, node.input[0])


def _attention(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """ONNX Runtime's Attention: queries, keys and values by one packed matrix."""
    stored = _weight(node, constants, 1, 2)
    if stored is not None and node.input[0] not in constants:
        yield Form("linear", stored.turned(1, 0), node.input[0])


def _convolution(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    stored = _weight(node, constants, 1, -3)
    if stored is None or node.input[0] in constants:
        return
    rows, channels, *kernel = stored.dims
    groups = int(attribute(node, "group", 1))
    if groups < 1 or rows % groups:
        return
    flat = not node.domain.startswith("com.") and len(kernel) <= 2
    yield Form(
        "convolution",
        stored.reshaped(rows, channels * prod(kernel)),
        node.input[0] if len(kernel) <= 2 else None,
        gain=flat,
        groups=groups,
        depthwise=groups > 1 and channels == 1,
        kernel=tuple(kernel),
    )


def _transposed_convolution(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    stored = _weight(node, constants, 1, -3)
    groups = int(attribute(node, "group", 1))
    if stored is None or node.input[0] in constants or groups < 1 or stored.dims[0] % groups:
        return
    channels, rows, *kernel = stored.dims
    taps = prod(kernel)
    weight = stored.reshaped(groups, channels // groups, rows, taps).turned(0, 2, 1, 3)
    weight = weight.reshaped(groups * rows, channels // groups * taps)
    yield Form("convolution", weight, groups=groups, kernel=tuple(kernel))


def _table(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """A Gather of whole entries: an embedding."""
    stored = _weight(node, constants, 0, -2)
    if stored is not None and attribute(node, "axis", 0) == 0 and node.input[1] not in constants:
        weight = stored.reshaped(stored.dims[0], prod(stored.dims[1:]))
        yield Form("embedding", weight, position=0)


def _recurrent(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """LSTM, GRU and RNN: the weights of the inputs and of the state, all gates together."""
    for position, part, inputs in ((1, ".W", node.input[0]), (2, ".R", None)):
        stored = _weight(node, constants, position, 3)
        if stored is not None and node.input[0] not in constants:
            weight = stored.reshaped(prod(stored.dims[:2]), stored.dims[2])
            yield Form("recurrent", weight, inputs, position=position, part=part)


def _einsum(node: onnx.NodeProto, constants: Constants) -> Iterator[Form]:
    """An Einsum of inputs and a weight, whose axes are shared, summed over, or its own."""
    equation = str(attribute(node, "equation", "")).replace(" ", "")
    operands, _, output = equation.partition("->")
    terms = operands.split(",")
    if len(terms) != 2 or len(node.input) != 2 or not output or not equation.isascii():
        return
    for position in (0, 1):
        stored = _weight(node, constants, position, -2)
        if stored is None or node.input[1 - position] in constants:
            continue
        own, other = terms[position], terms[1 - position]
        if len(set(own)) != len(own) or len(own) != len(stored.dims) or not own.isalpha():
            continue
        shared = [axis for axis in own if axis in other and axis in output]
        summed = [axis for axis in own if axis in other and axis not in output]
        rows = [axis for axis in own if axis not in other and axis in output]
        if not summed or not rows or len(shared) + len(summed) + len(rows) < len(own):
            continue
        weight = stored.turned(*(own.index(axis) for axis in (*shared, *rows, *summed)))
        groups = prod(weight.dims[: len(shared)])
        weight = weight.reshaped(
            prod(weight.dims[: len(shared) + len(rows)]), prod(weight.dims[-len(summed) :])
        )
        yield Form("experts" if shared else "linear", weight, position=position, groups=groups)


_MICROSOFT = "com.microsoft"
FORMS: dict[tuple[str, str], Callable[[onnx.NodeProto, Constants], Iterator[Form]]] = {
    ("MatMul", ""): _product,
    ("Gemm", ""): _gemm,
    ("Conv", ""): _convolution,
    ("ConvTranspose", ""): _transposed_convolution,
    ("Gather", ""): _table,
    ("LSTM", ""): _recurrent,
    ("GRU", ""): _recurrent,
    ("RNN", ""): _recurrent,
    ("Einsum", ""): _einsum,
    ("FusedMatMul", _MICROSOFT): _fused_product,
    ("FusedGemm", _MICROSOFT): _fused_product,
    ("FusedConv", _MICROSOFT): _convolution,
    ("Attention", _MICROSOFT): _attention,
}
"""By operator and domain: from a node and the constants that it reads to its weights."""
