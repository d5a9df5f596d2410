"""Products, convolutions and pooling."""

from __future__ import annotations

import numpy as np

from differential.builder import FLOATS, Axis, Graph, Refused, Value
from differential.movement import image
from differential.numbers import NORMAL, SPARSE
from differential.registry import operators

F32, F64, F16 = FLOATS


def weights(g: Graph, dtype: np.dtype[np.generic], shape: list[int], finite: bool = True) -> Value:
    """A layer's: dense or with zeros, constant or not.

    A zero among them keeps NaN and infinities out, which is documented; so there are none where
    those occur.
    """
    if g.chance(0.12):
        return g.input(dtype, list(shape), style=NORMAL)
    style = SPARSE if finite and g.chance(0.4) else NORMAL
    return g.random(dtype, shape, style)


@operators("MatMul", weight=2.0)
def matmul(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 2, 3, 3, 4), where=lambda v: v.size(v.rank - 1) is not None)
    matmul_of(g, x)


def matmul_of(g: Graph, x: Value) -> Value:
    inner = x.size(x.rank - 1)
    if inner is None:
        raise Refused("open rows")
    outputs = g.choice((1, 3, 5, 8, 16, 17, 33))
    if g.chance(0.65) or x.rank == 1:
        if g.chance(0.08):
            return g.add("MatMul", x, weights(g, x.dtype, [inner], x.finite))
        if g.chance(0.1):
            turned = weights(g, x.dtype, [outputs, inner], x.finite)
            turned = g.add("Transpose", turned, perm=[1, 0], exact=True)
            return g.add("MatMul", x, turned)
        return g.add("MatMul", x, weights(g, x.dtype, [inner, outputs], x.finite))
    if g.chance(0.3):
        order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        return g.add("MatMul", x, g.add("Transpose", x, perm=order, exact=True))
    shape: list[Axis] = [inner, outputs]
    for axis in range(x.rank - 3, -1, -1):
        name = next((n for n, s in g.symbols.items() if s == x.sizes(axis)), None)
        if g.chance(0.3):
            break
        shape.insert(0, x.size(axis) or (name if name and g.chance(0.7) else 1))
    return g.add("MatMul", x, g.input(x.dtype, shape))


@operators("Gemm", weight=2.0)
def gemm(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), 2)
    turn = int(g.chance(0.25))
    inner = x.size(0 if turn else 1)
    if inner is None:
        raise Refused("open rows")
    outputs = g.choice((1, 3, 5, 8, 16, 17))
    turned = int(g.chance(0.5))
    w = weights(g, x.dtype, [outputs, inner] if turned else [inner, outputs], x.finite)
    rows = x.size(1 if turn else 0)
    bias: Value | None = None
    if g.opset < 11 or g.chance(0.8):
        shapes: list[list[int]] = [[outputs], [1, outputs], [1], [], [1, 1]]
        if rows is not None:
            shapes += [[rows, 1], [rows, outputs]]
        bias = g.random(x.dtype, g.choice(shapes))
    scaled = {"alpha": g.choice((None, None, 0.5)), "beta": g.choice((None, None, 2.0, 0.0))}
    if x.dtype.kind != "f":
        scaled = {"alpha": None, "beta": None}
    y = g.add(op, x, w, bias, transA=turn or None, transB=turned or None, **scaled)
    if g.chance(0.3):
        g.add(g.choice(("Relu", "Sigmoid", "Tanh")), y)


def windows(g: Graph, x: Value, kernel: list[int], dilated: bool = True) -> dict[str, object]:
    """Strides, dilations and pads of a window, as attributes."""
    rank = len(kernel)
    found: dict[str, object] = {}
    if g.chance(0.4):
        found["strides"] = [g.number(1, 3) for _ in range(rank)]
    if dilated and g.chance(0.2):
        found["dilations"] = [g.number(1, 2) for _ in range(rank)]
    mode = g.choice(("", "", "", "pads", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"))
    if mode == "pads":
        found["pads"] = [g.number(0, max(0, min(2, k - 1))) for k in kernel * 2]
        if g.chance(0.5):
            found["pads"] = [k // 2 for k in kernel] * 2
    elif mode:
        found["auto_pad"] = mode
    return found


@operators("Conv", weight=2.5)
def conv(g: Graph, op: str) -> None:
    conv_of(g, image(g, op, rank=g.choice((4, 4, 4, 4, 3, 5))))


def conv_of(g: Graph, x: Value, pads: bool = True, constant: bool = False) -> Value:
    channels = x.size(1)
    if channels is None:
        raise Refused("open channels")
    kernel = [g.choice((1, 1, 2, 3, 3)) for _ in range(x.rank - 2)]
    group = g.choice([1, 1, 1, *(d for d in range(2, channels + 1) if channels % d == 0)])
    outputs = group * g.choice((1, 1, 2, 3, 5))
    shape = [outputs, channels // group, *kernel]
    w = g.random(x.dtype, shape, NORMAL) if constant else weights(g, x.dtype, shape, x.finite)
    bias = None
    if g.chance(0.5):
        bias = g.random(x.dtype, [outputs])
        if g.chance(0.1) and not constant:
            bias = g.input(x.dtype, [outputs])
    attributes = windows(g, x, kernel) if pads else {}
    shape_given = kernel if g.chance(0.5) else None
    return g.add(
        "Conv",
        x,
        w,
        bias,
        group=group if group > 1 else None,
        kernel_shape=shape_given,
        **attributes,
    )


@operators("ConvTranspose")
def conv_transpose(g: Graph, op: str) -> None:
    x = image(g, op, rank=g.choice((4, 4, 3, 5)))
    channels = x.size(1)
    if channels is None:
        raise Refused("open channels")
    rank = x.rank - 2
    kernel = [g.choice((1, 2, 3)) for _ in range(rank)]
    group = g.choice([1, 1, *(d for d in range(2, channels + 1) if channels % d == 0)])
    each = g.number(1, 3)
    w = weights(g, x.dtype, [channels, each, *kernel], x.finite)
    bias = g.random(x.dtype, [each * group]) if g.chance(0.5) else None
    attributes = windows(g, x, kernel)
    if "strides" in attributes and g.chance(0.3):
        attributes["output_padding"] = [g.number(0, s - 1) for s in attributes["strides"]]  # type: ignore[attr-defined]
    if g.chance(0.1) and all(x.size(2 + a) is not None for a in range(rank)):
        strides = attributes.get("strides", [1] * rank)
        attributes = {"strides": strides}
        attributes["output_shape"] = [x.shape[2 + a] * strides[a] for a in range(rank)]  # type: ignore[index]
    g.add(op, x, w, bias, group=group if group > 1 else None, **attributes)


@operators("MaxPool AveragePool", weight=1.5)
def pool(g: Graph, op: str) -> None:
    x = image(g, op, rank=g.choice((4, 4, 4, 3, 5)))
    kernel = [g.choice((1, 2, 3)) for _ in range(x.rank - 2)]
    if g.chance(0.1) and all(x.size(a) for a in range(2, x.rank)):
        kernel = list(x.shape[2:])
    dilated = g.opset >= (10 if op == "MaxPool" else 19)
    attributes = windows(g, x, kernel, dilated)
    if g.opset >= 10 and g.chance(0.25):
        attributes["ceil_mode"] = 1
    outputs = 1
    if op == "AveragePool":
        counts = g.choice((None, 0, 1))
        # Where it fuses, ONNX Runtime divides by another number than where it does not.
        apart = attributes.get("dilations") and attributes.get("auto_pad", "").startswith("SAME")
        attributes["count_include_pad"] = None if apart else counts
    elif g.chance(0.2) and x.ordered:
        outputs = 2
        attributes["storage_order"] = g.choice((None, 0, 1))
    g.node(op, [x], outputs, kernel_shape=kernel, exact=op == "MaxPool", **attributes)


@operators("GlobalAveragePool GlobalMaxPool")
def global_pool(g: Graph, op: str) -> None:
    g.add(op, image(g, op, rank=g.choice((4, 4, 3, 5))), exact=op == "GlobalMaxPool")
