"""Operators that are left to ONNX Runtime, so that regions cross."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from differential.builder import FLOATS, Graph, Refused
from differential.numbers import NORMAL
from differential.registry import operators, pattern

F32, F64, F16 = FLOATS
I64, I32 = np.dtype(np.int64), np.dtype(np.int32)


@pattern(2)
def einsum(g: Graph) -> None:
    if g.opset < 12:
        raise Refused("no such operator")
    x = g.pick([F32], 3, where=lambda v: v.size(2) is not None)
    w = g.random(F32, [x.shape[2], g.number(1, 5)], NORMAL)
    g.add("Einsum", x, w, equation=g.choice(("bij,jk->bik", "bij,jk->kib")))


@pattern(1.5)
def recurrent(g: Graph) -> None:
    x = g.fresh(F32, 3)
    size = x.size(2)
    if size is None:
        raise Refused("open features")
    op, gates = g.choice((("LSTM", 4), ("GRU", 3), ("RNN", 1)))
    hidden = 3
    w = g.random(F32, [1, gates * hidden, size], NORMAL)
    r = g.random(F32, [1, gates * hidden, hidden], NORMAL)
    y = g.node(op, [x, w, r], [True], hidden_size=hidden)[0]
    if y.rank == 4:
        axes = g.constant([1], I64) if g.opset >= 13 else None
        y = g.add("Squeeze", y, axes, axes=[1] if axes is None else None, exact=True)
        g.add("MatMul", y, g.random(F32, [hidden, 4], NORMAL))


@pattern(1)
def scatter(g: Graph) -> None:
    if g.opset < 11:
        raise Refused("no such operator")
    x = g.pick([F32, I64], (1, 2, 3), where=lambda v: v.fixed)
    axis = g.number(0, x.rank - 1)
    shape = list(x.shape)
    shape[axis] = 1
    where = g.constant(g.rng.integers(0, x.shape[axis], shape), I64)
    g.add("ScatterElements", x, where, g.random(x.dtype, shape), axis=axis, exact=True)


@pattern(1)
def nonzero(g: Graph) -> None:
    """A size that only the data tells."""
    if g.opset < 9:
        raise Refused("no such operator")
    x = g.pick([np.dtype(bool), I64, F32], (1, 2, 3))
    places = g.add("NonZero", x, exact=True)
    if g.chance(0.5):
        g.add("Cast", places, to=1, exact=True)


@pattern(1)
def top(g: Graph) -> None:
    x = g.pick([F32], (1, 2, 3), where=lambda v: v.size(v.rank - 1) is not None and v.finite)
    if not all(len(np.unique(a)) == a.size for a in x.arrays):
        raise Refused("ties")
    if g.opset < 10:
        g.node("TopK", [x], 2, k=g.number(1, x.shape[-1]), exact=True)
    else:
        k = g.constant([g.number(1, x.shape[-1])], I64)
        g.node("TopK", [x, k], 2, exact=True)


@pattern(1)
def compress(g: Graph) -> None:
    if g.opset < 9:
        raise Refused("no such operator")
    x = g.pick([F32, I64], (1, 2, 3), where=lambda v: v.size(0) is not None)
    keep = np.ones(x.shape[0], bool)
    keep[1:] = g.rng.random(x.shape[0] - 1) < 0.6
    g.add("Compress", x, g.constant(keep), axis=0, exact=True)


@operators("EyeLike")
def eye(g: Graph, op: str) -> None:
    g.add(op, g.pick([F32, I64], 2), k=g.choice((None, 1)), exact=True)


@pattern(1)
def grid_sample(g: Graph) -> None:
    if g.opset < 16:
        raise Refused("no such operator")
    x = g.input(F32, [1, 2, 5, 4])
    grid = g.constant(g.rng.uniform(-1, 1, (1, 3, 3, 2)), F32)
    mode = g.choice(("bilinear", "nearest")) if g.opset < 20 else g.choice(("linear", "nearest"))
    g.add("GridSample", x, grid, mode=mode, padding_mode=g.choice((None, "border")))


@pattern(1)
def branch(g: Graph) -> None:
    """A condition whose branches take values from around them."""
    x = g.pick([F32], where=lambda v: not v.constant)
    test = g.input(np.bool_, [])
    graphs = []
    for name, op in (("then", "Tanh"), ("else", "Neg")):
        node = helper.make_node(op, [x.name], [f"{x.name}.{name}{len(g.nodes)}"])
        out = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        graphs.append(helper.make_graph([node], name, [], [out]))
    g.node("If", [test], captured=[x], then_branch=graphs[0], else_branch=graphs[1])


@pattern(3)
def contributed(g: Graph) -> None:
    """What ONNX Runtime's own optimizer writes."""
    x = g.pick([F32], (2, 3), where=lambda v: v.size(v.rank - 1) is not None)
    size = x.shape[-1]
    kind = g.choice(
        ("BiasGelu", "SkipLayerNormalization", "FusedMatMul", "Gelu", "FastGelu", "QuickGelu")
    )
    ms = "com.microsoft"
    vector = g.random(F32, [size], NORMAL)
    if kind == "SkipLayerNormalization":
        if x.rank != 3:
            raise Refused("of another rank")
        outputs = [True] if g.chance(0.7) else [True, False, False, True]
        more = [g.random(F32, [size], NORMAL)] if g.chance(0.7) else []
        y = g.node(kind, [x, x, vector, *more], outputs, domain=ms)[0]
    elif kind == "FusedMatMul":
        w = g.random(F32, [4, size], NORMAL)
        y = g.node(kind, [x, w], domain=ms, transB=1, alpha=0.5)[0]
    elif kind == "BiasGelu":
        y = g.node(kind, [x, vector], domain=ms)[0]
    else:
        y = g.node(kind, [x], domain=ms)[0]
    last = y.size(y.rank - 1)
    if last is not None and g.chance(0.6):
        g.add("MatMul", y, g.random(F32, [last, 4], NORMAL))


@pattern(1.5)
def defined_by_others(g: Graph) -> None:
    """Operators that ONNX defines as functions of simpler ones."""
    kind = g.choice(("loss", "dynamic", "crop", "window"))
    if kind == "loss" and g.opset >= 12:
        x = g.input(F32, [g.number(1, 4), 5])
        labels = g.indices(5, [x.shape[0]])
        labels = g.add("Abs", labels, exact=True)
        if not all((a < 5).all() for a in labels.arrays):
            raise Refused("labels out of range")
        g.add("SoftmaxCrossEntropyLoss", x, labels, reduction=g.choice((None, "sum", "none")))
    elif kind == "dynamic" and g.opset >= 11:
        g.node("DynamicQuantizeLinear", [g.fresh(F32)], 3, exact=True)
    elif kind == "crop" and g.opset >= 18:
        x = g.fresh(F32, 2)
        g.add("CenterCropPad", x, g.constant([g.number(1, 5), g.number(1, 5)], I64), exact=True)
    elif kind == "window" and g.opset >= 17:
        g.add(g.choice(("HannWindow", "HammingWindow")), g.constant(g.number(2, 9), I64))
    else:
        raise Refused("no such operator")
