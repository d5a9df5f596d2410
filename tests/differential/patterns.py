"""What passes look for, and what nearly is it: a near miss must keep its own meaning."""

from __future__ import annotations

import math

import numpy as np
from onnx import AttributeProto

from differential.builder import FLOATS, Axis, Graph, Refused, Value, empty
from differential.layers import conv_of, matmul_of, windows
from differential.movement import image, size_of
from differential.numbers import NORMAL, TAILS
from differential.reductions import axes_as, batch_norm_of
from differential.registry import pattern

F32, F64, F16 = FLOATS
I64, I32 = np.dtype(np.int64), np.dtype(np.int32)


def number(g: Graph, value: float, x: Value) -> Value:
    """A constant of one element, mostly without axes."""
    shape = g.choice(((), (), (), (1,), (1,) * x.rank, (1,) * (x.rank + 1)))
    return g.constant(np.full(shape, value), x.dtype)


def turned(g: Graph, x: Value, y: Value) -> tuple[Value, Value]:
    return (x, y) if g.chance(0.6) else (y, x)


def floating(g: Graph, ranks: tuple[int, ...] = (1, 2, 3, 4)) -> Value:
    kinds = [F32] if g.chance(0.85) else [F64, F16]
    return g.pick(kinds, ranks)


@pattern(9)
def erf_gelu(g: Graph) -> None:
    """x * (1 + erf(x / sqrt 2)) * 0.5 in any order, or with another factor."""
    x = g.fresh(F32, style=TAILS) if g.chance(0.3) else floating(g)
    root = math.sqrt(2) if g.chance(0.9) else 1.5
    if g.chance(0.6):
        inner = g.add("Div", x, number(g, root, x))
    else:
        inner = g.add("Mul", *turned(g, x, number(g, 1 / root, x)))
    one = 1.0 if g.chance(0.92) else 0.9
    total = g.add("Add", *turned(g, g.add("Erf", inner), number(g, one, x)))
    half = 0.5 if g.chance(0.9) else g.choice((0.25, 1.0, 2.0))
    steps = ["x", "half"]
    if g.chance(0.45):
        steps.append("half")
    if g.chance(0.1):
        steps.append("x")
    if g.chance(0.25):
        steps = ["x/2", *(["half"] if g.chance(0.5) else [])]
    g.rng.shuffle(steps)
    for step in steps:
        if step == "x":
            total = g.add("Mul", *turned(g, total, x))
        elif step == "x/2":
            total = g.add("Mul", *turned(g, total, g.add("Mul", x, number(g, half, x))))
        elif g.chance(0.7):
            total = g.add("Mul", *turned(g, total, number(g, half, x)))
        else:
            total = g.add("Div", total, number(g, 1 / half, x))


@pattern(4)
def swish(g: Graph) -> None:
    """x * sigmoid(x), or of something else."""
    x = floating(g)
    if g.chance(0.3):
        gate = g.add("HardSigmoid", x, alpha=g.choice((1 / 6, 0.2)), beta=g.choice((0.5, 0.4)))
    else:
        gate = g.add("Sigmoid", x)
    other = x if g.chance(0.8) else g.beside(x)
    y = g.add("Mul", *turned(g, other, gate))
    if g.chance(0.2):
        g.add("Mul", y, x)


@pattern(8)
def spelled_layer_norm(g: Graph) -> None:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, or with other axes and ranks."""
    x = g.pick([F32], (2, 3, 4), where=lambda v: v.size(v.rank - 1) is not None)
    last = [g.choice((-1, x.rank - 1)) if g.opset >= 11 else x.rank - 1]
    axes = last if g.chance(0.85) else [0]
    given, named = axes_as(g, "ReduceMean", 18, axes)
    mean = g.add("ReduceMean", x, given, axes=named, keepdims=g.choice((None, 1)))
    centred = g.add("Sub", x, mean)
    if g.chance(0.5):
        square = g.add("Pow", centred, g.constant(2 if g.chance(0.95) else 4, F32))
    else:
        square = g.add("Mul", centred, centred)
    given, named = axes_as(g, "ReduceMean", 18, axes)
    variance = g.add("ReduceMean", square, given, axes=named)
    epsilon = number(g, g.choice((1e-5, 1e-2, 1e-3)), x)
    root = g.add("Sqrt", g.add("Add", *turned(g, variance, epsilon)))
    normal = g.add("Div", centred, root)
    size = x.shape[-1]
    shapes: list[tuple[int, ...]] = [(size,)] * 4 + [(1, size), (1, 1, size), (1, 1, 1, size), ()]
    scaled = g.add("Mul", *turned(g, normal, g.random(F32, g.choice(shapes))))
    if g.chance(0.9):
        g.add("Add", *turned(g, scaled, g.random(F32, g.choice(shapes))))


@pattern(12)
def conv_batch_norm(g: Graph) -> None:
    """A folded normalisation, whose value others may take, another normalisation too."""
    x = image(g, "Conv", rank=g.choice((4, 4, 3)))
    if x.dtype != F32:
        raise Refused("of another type")
    y = conv_of(g, x, constant=g.chance(0.85))
    if g.chance(0.15):
        y = g.add("Relu", y)
    first = batch_norm_of(g, y, training=g.chance(0.35))
    for _ in range(g.choice((0, 1, 1, 2, 2))):
        kind = g.choice(("norm", "norm", "relu", "conv", "add", "beside"))
        if kind == "norm":
            batch_norm_of(g, first, training=g.chance(0.1))
        elif kind == "relu":
            g.add(g.choice(("Relu", "LeakyRelu")), first)
        elif kind == "conv":
            conv_of(g, batch_norm_of(g, first))
        elif kind == "add":
            g.add("Add", first, y)
        else:
            batch_norm_of(g, y)


@pattern(5)
def padded_conv(g: Graph) -> None:
    """Zeros around an image before a convolution, or something else around it."""
    x = image(g, "Conv", rank=g.choice((4, 4, 4, 3)))
    if x.dtype != F32:
        raise Refused("of another type")
    rank = x.rank
    pads = [0, 0] + [g.number(0, 2) for _ in range(rank - 2)]
    pads += [0, 0] + [g.number(0, 2) for _ in range(rank - 2)]
    if g.chance(0.12):
        pads[g.choice((0, 1, rank, rank + 1))] = 1
    if g.chance(0.08):
        pads[2] = -1
    mode = g.choice(("constant", "constant", "constant", "constant", "reflect", "edge"))
    fill = 0.0 if g.chance(0.8) else g.choice((1.0, -0.0))
    if g.opset < 11:
        padded = g.add("Pad", x, pads=pads, mode=mode, value=fill, exact=True)
    else:
        value = g.constant(fill, F32) if fill or g.chance(0.5) else None
        padded = g.add("Pad", x, g.constant(pads, I64), value, mode=mode, exact=True)
    conv_of(g, padded, constant=True)
    if g.chance(0.25):
        g.add(g.choice(("Relu", "Neg")), padded)
    if g.chance(0.2):
        conv_of(g, padded, constant=True)
    if g.chance(0.1):
        g.add("MaxPool", padded, kernel_shape=[2] * (rank - 2), exact=True)


@pattern(7)
def layer_and_steps(g: Graph) -> None:
    """A layer, what is added to it, activations, sums with other layers."""
    if g.chance(0.5):
        x = g.pick([F32], (2, 3, 4), where=lambda v: v.size(v.rank - 1) is not None)
        make = matmul_of
    else:
        x = image(g, "Conv")
        make = conv_of
        if x.dtype != F32:
            raise Refused("of another type")
    y = make(g, x)
    for _ in range(g.choice((1, 1, 2, 3))):
        step = g.choice(("bias", "bias", "act", "act", "act", "clip", "clip", "sum", "self"))
        if step == "bias":
            y = g.add("Add", *turned(g, y, bias_beside(g, y)))
        elif step == "act":
            op = g.choice(("Relu", "Sigmoid", "Tanh", "Elu", "LeakyRelu", "HardSigmoid"))
            alpha = g.choice((None, 0.3, 2.0, -0.5)) if op in ("Elu", "LeakyRelu") else None
            y = g.add(op, y, alpha=alpha)
        elif step == "clip":
            low, high = g.choice(((0.0, 6.0), (-1.0, 1.0), (1.0, 0.0), (0.0, None), (None, 1.0)))
            if g.opset < 11:
                y = g.add("Clip", y, min=low, max=high, exact=True)
            else:
                given = [None if n is None else g.constant(n, F32) for n in (low, high)]
                y = g.add("Clip", y, *given, exact=True)
        elif step == "sum":
            y = g.add("Add", *turned(g, y, g.beside(y)))
        else:
            y = g.add("Add", y, y)


def bias_beside(g: Graph, y: Value) -> Value:
    """Constants of any shape that broadcasts with a layer's output, often by channel."""
    size = y.size(y.rank - 1)
    shapes: list[list[int]] = [[1], []]
    if size is not None:
        shapes += [[size], [size], [1, size], [1] * y.rank + [size]]
    if y.rank > 2 and y.size(y.rank - 2) is not None:
        shapes.append([y.shape[-2], 1])
    if y.rank == 4 and y.size(1) is not None:
        shapes += [[y.shape[1], 1, 1]] * 3 + [[1, y.shape[1], 1, 1]] * 2
    return g.random(F32, g.choice(shapes), NORMAL)


@pattern(2.5)
def mean_over_image(g: Graph) -> None:
    """The mean over the last two of four axes, or over others."""
    x = g.pick([F32], 4)
    axes = g.choice(([2, 3], [2, 3], [3, 2], [1, 2], [0, 3], [2]))
    if g.opset >= 11 and g.chance(0.5):
        axes = [axis - 4 for axis in axes]
    given, named = axes_as(g, "ReduceMean", 18, axes)
    g.add("ReduceMean", x, given, axes=named, keepdims=g.choice((None, 0, 1)))


@pattern(7)
def twins(g: Graph) -> None:
    """The same node twice, with as many outputs or with others."""
    kind = g.choice(("plain", "top", "lstm", "pool", "dropout"))
    if kind == "plain":
        x = floating(g)
        op = g.choice(("Tanh", "Exp", "LeakyRelu"))
        alpha = 0.3 if op == "LeakyRelu" else None
        y = g.add(op, x, alpha=alpha)
        z = g.add(op, x, alpha=alpha if g.chance(0.7) or alpha is None else 0.4)
        g.add("Add", y, g.add("Neg", z, exact=True) if g.chance(0.5) else z)
        return
    if kind == "top":
        x = g.pick([F32], (1, 2, 3), where=lambda v: v.size(v.rank - 1) is not None and v.finite)
        if not all(len(np.unique(a)) == a.size for a in x.arrays):
            raise Refused("ties")
        k = g.constant([g.number(1, x.shape[-1])], I64) if g.opset >= 10 else None
        count = None if k is not None else g.number(1, x.shape[-1])
        for outputs in ([True, False], [True, True], [False, True])[: g.number(2, 3)]:
            g.node("TopK", [x, k], outputs, k=count, exact=True)
        return
    if kind == "lstm":
        x = g.fresh(F32, 3)
        size = x.size(2)
        if size is None:
            raise Refused("open features")
        w, r = g.random(F32, [1, 16, size], NORMAL), g.random(F32, [1, 16, 4], NORMAL)
        for outputs in ([True], [False, True, True], [True, True, True])[: g.number(2, 3)]:
            empties = {}
            if g.chance(0.4):
                empties = {n: empty(n) for n in ("activation_alpha", "activation_beta")}
            g.node("LSTM", [x, w, r], outputs, hidden_size=4, **empties)
        return
    if kind == "pool":
        x = image(g, "MaxPool")
        for outputs in (1, 2 if x.ordered else 1):
            g.node("MaxPool", [x], outputs, kernel_shape=[2, 2], exact=True)
        return
    x = floating(g)
    for outputs in (1, 2):
        g.node("Dropout", [x], outputs, exact=True)


@pattern(4)
def attention(g: Graph) -> None:
    """Heads of queries, keys and values, with or without a mask, spelled out."""
    heads, head = g.choice((1, 2, 3)), g.choice((2, 4, 8, 16))
    width = heads * head
    axes: list[Axis] = [g.number(1, 3), g.number(1, 9), width]
    names = list(g.symbols)
    if names and g.chance(0.7):
        axes[0] = names[0]
        axes[1] = names[-1] if len(names) > 1 else axes[1]
    x = g.input(F32, axes)
    other = x if g.chance(0.8) else g.input(F32, [axes[0], g.number(1, 7), width])
    rows = [
        g.add("MatMul", source, g.random(F32, [width, width], NORMAL))
        for source in (x, other, other)
    ]
    split = g.constant([0, 0, heads, head], I64)
    views = [g.add("Reshape", row, split, exact=True) for row in rows]
    orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    q, k, v = (
        g.add("Transpose", view, perm=order, exact=True)
        for view, order in zip(views, orders, strict=True)
    )
    factor = g.constant(1 / math.sqrt(head), F32)
    if g.chance(0.3):
        q = g.add("Mul", q, factor)
    scores = g.add("MatMul", q, k)
    if g.chance(0.7):
        scores = g.add(*(("Mul", scores, factor) if g.chance(0.5) else ("Div", scores, factor)))
    queries, keys = scores.size(2), scores.size(3)
    mask = g.choice(("none", "none", "keys", "full", "triangle"))
    if mask == "keys":
        shape: list[Axis] = [axes[0], 1, 1, keys if keys is not None else axes[1]]
        scores = g.add("Add", *turned(g, scores, g.input(F32, shape)))
    elif mask == "full" and queries is not None and keys is not None:
        shape = [1, g.choice((1, heads)), queries, keys]
        scores = g.add("Add", *turned(g, scores, g.random(F32, [int(s) for s in shape], NORMAL)))
    elif mask == "triangle" and queries is not None and keys is not None:
        lower = np.tril(np.ones((1, 1, queries, keys), bool))
        least = g.constant(-1e4, F32)
        scores = g.add("Where", g.constant(lower), scores, least) if g.opset >= 9 else scores
    axis = -1 if g.opset >= 11 else 3
    shares = g.add("Softmax", scores, axis=axis if g.chance(0.9) else 2)
    mixed = g.add("MatMul", shares, v)
    back = g.add(
        "Transpose", mixed, perm=[0, 2, 1, 3] if g.chance(0.9) else [0, 1, 2, 3], exact=True
    )
    joined = g.add(
        "Reshape",
        back,
        g.constant([0, 0, width] if g.chance(0.8) else [0, -1, width], I64),
        exact=True,
    )
    if g.chance(0.6):
        g.add("MatMul", joined, g.random(F32, [width, g.choice((3, width))], NORMAL))


@pattern(8)
def view_of_constant(g: Graph) -> None:
    """A constant under another shape, beside something that is computed."""
    x = g.pick([F32, F64, I64], (1, 2, 3, 4), where=lambda v: not v.constant)
    fixed = []
    for axis in range(x.rank - 1, -1, -1):
        size = x.size(axis)
        if size is None:
            break
        fixed.insert(0, size)
    stored = g.random(x.dtype, [math.prod(fixed)])
    kind = g.choice(("reshape", "flatten", "unsqueeze", "transpose", "cast", "expand", "identity"))
    if kind == "reshape":
        w = g.add("Reshape", stored, g.constant(fixed, I64), exact=True)
    elif kind == "flatten":
        w = g.add("Flatten", g.random(x.dtype, fixed or [1]), axis=0, exact=True)
        w = g.add("Reshape", w, g.constant(fixed, I64), exact=True)
    elif kind == "unsqueeze":
        w = g.random(x.dtype, fixed)
        given, named = axes_as(g, "Unsqueeze", 13, [0])
        w = g.add("Unsqueeze", w, given, axes=named, exact=True)
    elif kind == "transpose":
        w = g.add("Transpose", g.random(x.dtype, fixed[::-1]), exact=True)
    elif kind == "cast":
        w = g.add("Reshape", stored, g.constant(fixed, I64), exact=True)
        w = g.add("Cast", w, to={F32: 1, F64: 11, I64: 7}[x.dtype], exact=True)
    elif kind == "expand":
        w = g.add("Expand", g.random(x.dtype, [1] * len(fixed)), g.constant(fixed, I64), exact=True)
    else:
        w = g.add("Identity", g.random(x.dtype, fixed), exact=True)
    g.add(g.choice(("Add", "Mul", "Sub")), *turned(g, x, w))


@pattern(0.25)
def large_weight(g: Graph) -> None:
    """A weight that is too large to be copied while a model is compiled."""
    if g.chance(0.5):
        x = g.input(F32, [1, 300, 3])
        w = g.constant(np.asarray(g.rng.standard_normal((16, 300, 1)), np.float32).repeat(1, 2))
        g.add("Conv", x, w)
        return
    x = g.input(F32, [1, 700, 1, 1])
    array = np.asarray(g.rng.standard_normal((700, 700, 3, 3)) / 80, np.float32)
    g.add("ConvTranspose", x, g.constant(array), strides=[2, 2])


@pattern(7)
def shape_chain(g: Graph) -> None:
    """Sizes that ordinary operators compute, and what exporters use them for."""
    x = g.pick([F32], (2, 3, 4), where=lambda v: not v.constant)
    dims = g.add("Shape", x, exact=True)
    kind = g.choice(("reshape", "flatten", "expand", "range", "mask", "slice", "split", "window"))
    if kind == "reshape":
        parts = [part_of(g, dims, axis) for axis in range(x.rank)]
        if g.chance(0.5):
            i = g.number(0, x.rank - 2)
            parts[i : i + 2] = [g.add("Mul", parts[i], parts[i + 1], exact=True)]
        elif g.chance(0.5):
            parts[g.number(0, x.rank - 1)] = g.constant([-1], I64)
        g.add("Reshape", x, g.add("Concat", *parts, axis=0, exact=True), exact=True)
    elif kind == "flatten":
        first = part_of(g, dims, 0)
        g.add(
            "Reshape",
            x,
            g.add("Concat", first, g.constant([-1], I64), axis=0, exact=True),
            exact=True,
        )
    elif kind == "expand":
        last = x.size(x.rank - 1)
        y = g.random(F32, [last if last is not None else 1])
        if g.chance(0.5) and g.opset >= 9:
            ones = g.add(
                "ConstantOfShape", g.constant([x.rank], I64), value=np.array([1]), exact=True
            )
            minus = g.add("Mul", ones, g.constant(-1, I64), exact=True)
            test = g.add("Equal", dims, minus, exact=True)
            dims = g.add("Where", test, ones, dims, exact=True)
        g.add("Add", x, g.add("Expand", y, dims, exact=True))
    elif kind in ("range", "mask") and g.opset >= 11:
        size = g.add("Gather", dims, g.constant(g.number(0, x.rank - 1), I64), axis=0, exact=True)
        places = g.add("Range", g.constant(0, I64), size, g.constant(1, I64), exact=True)
        if kind == "range":
            table = g.random(F32, [64, 3])
            g.add("Gather", table, places, axis=0, exact=True)
        else:
            given, named = axes_as(g, "Unsqueeze", 13, [0])
            row = g.add("Unsqueeze", places, given, axes=named, exact=True)
            given, named = axes_as(g, "Unsqueeze", 13, [1])
            column = g.add("Unsqueeze", places, given, axes=named, exact=True)
            test = g.add(g.choice(("Greater", "Less", "Equal")), row, column, exact=True)
            g.add("Where", test, g.constant(0.0, F32), g.constant(-5.0, F32), exact=True)
    elif kind == "slice" and g.opset >= 10:
        axis = g.number(0, x.rank - 1)
        end = part_of(g, dims, axis)
        if g.chance(0.5):
            end = g.add("Sub", end, g.constant([1], I64), exact=True)
        start = g.constant([0], I64)
        if g.chance(0.4):
            start = g.add("Div", part_of(g, dims, axis), g.constant([2], I64), exact=True)
        g.add("Slice", x, start, end, g.constant([axis], I64), exact=True)
    elif kind == "split" and g.opset >= 13:
        axis = g.number(0, x.rank - 1)
        size = part_of(g, dims, axis)
        half = g.add("Div", size, g.constant([2], I64), exact=True)
        rest = g.add("Sub", size, half, exact=True)
        parts = g.add("Concat", half, rest, axis=0, exact=True)
        g.node("Split", [x, parts], 2, axis=axis, exact=True)
    else:
        table = g.random(F32, [1, 40, x.size(x.rank - 1) or 1])
        size = part_of(g, dims, 0 if x.rank == 2 else 1)
        if g.opset >= 10:
            cut = g.add(
                "Slice", table, g.constant([0], I64), size, g.constant([1], I64), exact=True
            )
            if x.rank == 3:
                g.add("Add", x, cut)


def part_of(g: Graph, dims: Value, axis: int) -> Value:
    """`[1]` one size out of those that a Shape tells."""
    if g.chance(0.3) and g.opset >= 10:
        return g.add(
            "Slice", dims, g.constant([axis], I64), g.constant([axis + 1], I64), exact=True
        )
    if g.chance(0.5):
        size = g.add("Gather", dims, g.constant(axis, I64), axis=0, exact=True)
        given, named = axes_as(g, "Unsqueeze", 13, [0])
        return g.add("Unsqueeze", size, given, axes=named, exact=True)
    return g.add("Gather", dims, g.constant([axis], I64), axis=0, exact=True)


@pattern(4)
def last_of_open_axis(g: Graph) -> None:
    """The last few along an open axis, and perhaps their mean."""
    if not g.symbols:
        raise Refused("no open axis")
    name = g.choice(list(g.symbols))
    shape: list[Axis] = [g.number(1, 3), name, g.number(1, 6)]
    if g.chance(0.4):
        shape = [name, g.number(1, 6)]
    x = g.input(F32, shape)
    axis = shape.index(name)
    start = [-g.number(1, 6)]
    end = [g.choice((2**63 - 1, 2**31 - 1, 1000, -1))]
    if g.opset < 10:
        y = g.add("Slice", x, starts=start, ends=end, axes=[axis], exact=True)
    else:
        cut = [g.constant(n, I64) for n in (start, end, [axis], [g.choice((1, 1, 1, 2))])]
        y = g.add("Slice", x, *cut, exact=True)
    if g.chance(0.5):
        given, named = axes_as(g, "ReduceMean", 18, [axis])
        g.add("ReduceMean", y, given, axes=named, keepdims=0)


@pattern(5)
def folded(g: Graph) -> None:
    """Something that is computed of constants alone, as a model is compiled."""
    kind = g.choice(
        (
            "pool",
            "average",
            "resize",
            "norm",
            "group",
            "lrn",
            "gru",
            "conv",
            "reduce",
            "argmax",
            "pad",
            "batch",
        )
    )
    image_ = g.random(F32, [1, 4, 7, 6], NORMAL)
    if kind in ("pool", "average"):
        op = "MaxPool" if kind == "pool" else "AveragePool"
        more = windows(g, image_, [3, 2], g.opset >= 19)
        if g.opset >= 10:
            more["ceil_mode"] = g.choice((None, 1))
        y = g.add(op, image_, kernel_shape=[3, 2], **more)
    elif kind == "resize" and g.opset >= 11:
        none = g.constant(np.zeros(0, np.float32))
        scales = g.constant([1, 1, g.choice((0.7, 1.4, 2.0)), g.choice((1.1, 1.3))], F32)
        mode = g.choice(("nearest", "linear", "cubic"))
        y = g.add("Resize", image_, none, scales, mode=mode)
    elif kind == "norm" and g.opset >= 17:
        y = g.add("LayerNormalization", image_, g.random(F32, [6], NORMAL))
    elif kind == "group" and g.opset >= 21:
        numbers = [g.random(F32, [4], NORMAL) for _ in range(2)]
        y = g.add("GroupNormalization", image_, *numbers, num_groups=2)
    elif kind == "lrn":
        y = g.add("LRN", image_, size=3, alpha=0.5)
    elif kind == "gru":
        x = g.random(F32, [3, 2, 5], NORMAL)
        w, r = g.random(F32, [1, 12, 5], NORMAL), g.random(F32, [1, 12, 4], NORMAL)
        more = {"linear_before_reset": g.choice((None, 1))}
        y = g.add("GRU", x, w, r, hidden_size=4, **more)
    elif kind == "conv":
        y = conv_of(g, image_)
    elif kind == "reduce":
        given, named = axes_as(g, "ReduceL2", 18, [1, 3])
        y = g.add(
            g.choice(("ReduceL2", "ReduceLogSumExp", "ReduceMean")), image_, given, axes=named
        )
    elif kind == "argmax":
        y = g.add("Cast", g.add("ArgMax", image_, axis=1, exact=True), to=1, exact=True)
    elif kind == "batch":
        y = batch_norm_of(g, image_, training=g.chance(0.4))
    else:
        y = g.add("Pad", image_, g.constant([0, 0, 1, 2, 0, 0, 3, 1], I64), exact=True)
    x = g.input(F32, [1] * y.rank)
    g.add("Add", x, y)


@pattern(2)
def empty_lists(g: Graph) -> None:
    """Attributes that are empty lists."""
    kind = g.choice(("reduce", "squeeze", "lstm", "reduce"))
    if kind == "lstm" or g.opset >= 13:
        x = g.input(F32, [3, 2, 5])
        w, r = g.random(F32, [1, 16, 5], NORMAL), g.random(F32, [1, 16, 4], NORMAL)
        empties = {n: empty(n) for n in ("activation_alpha", "activation_beta")}
        g.node("LSTM", [x, w, r], [True], hidden_size=4, **empties)
    elif kind == "reduce":
        x = g.pick([F32], (2, 3))
        op = g.choice(("ReduceMean", "ReduceSum", "ReduceMax"))
        g.add(op, x, axes=empty("axes", AttributeProto.INTS))
    else:
        g.add(
            "Squeeze", g.input(F32, [2, 1, 3]), axes=empty("axes", AttributeProto.INTS), exact=True
        )


@pattern(4)
def small_types(g: Graph) -> None:
    """Floats of 16 bits through a few nodes, as models for accelerators have them."""
    x = g.pick([F16], existing=0.5)
    y = g.add("Sigmoid", x)
    y = g.add("Mul", *turned(g, x, y))
    for _ in range(g.number(0, 2)):
        op = g.choice(("Relu", "Neg", "Tanh", "Abs", "Exp"))
        y = g.add(op, y)
    if g.chance(0.4):
        g.add("Cast", y, to=1, exact=True)


@pattern(4)
def extremes(g: Graph) -> None:
    """The largest of what holds NaN."""
    g.special, before = True, g.special
    x = g.fresh(F32, g.number(1, 3))
    given, named = axes_as(g, "ReduceMax", 18, [g.number(0, x.rank - 1)])
    try:
        g.add(g.choice(("ReduceMax", "ReduceMin")), x, given, axes=named, exact=True)
        if g.chance(0.5):
            g.add(g.choice(("Max", "Min")), x, g.random(F32, []), exact=True)
    finally:
        g.special = before or any(not v.finite for v in g.values)


@pattern(2)
def quantized(g: Graph) -> None:
    """Weights or activations that were stored in 8 bits."""
    if g.opset < 10:
        raise Refused("no such operator")
    scale, zero = g.constant(0.05, F32), g.constant(3, np.uint8)
    if g.chance(0.5):
        x = g.pick([F32], (2, 3), where=lambda v: v.size(v.rank - 1) is not None)
        stored = g.constant(g.rng.integers(0, 256, (x.shape[-1], 5)), np.uint8)
        w = g.add("DequantizeLinear", stored, scale, zero)
        g.add("MatMul", x, w)
    else:
        x = g.fresh(F32)
        y = g.add("QuantizeLinear", x, scale, zero, exact=True)
        g.add("DequantizeLinear", y, scale, zero)


@pattern(1.5)
def positions(g: Graph) -> None:
    """A size as a number among others."""
    size = size_of(g, scalar=True)
    y = g.add("Cast", size, to=1, exact=True)
    g.add("Mul", g.pick([F32]), g.add("Div", y, g.constant(7.0, F32)))
