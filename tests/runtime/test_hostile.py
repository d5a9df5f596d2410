"""Broken and hostile models: an error of one line, no crash, no memory beyond the machine's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from gossamer.errors import DataError, ModelError
from gossamer.runtime import bounds, compile

f32 = np.float32
EYE = np.eye(4)

NUMBERS = [
    *(0, 1, -1, 2, 3, 5, -2, 100, -100, 65536),
    *(2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1),
]
ATTRIBUTES: list[tuple[str, Any]] = [
    *(("axis", 1), ("group", 2), ("ceil_mode", 1), ("transA", 1), ("transB", 1), ("keepdims", 0)),
    *(("strides", [2, 2]), ("pads", [1, 1, 1, 1]), ("dilations", [3, 3]), ("kernel_shape", [3, 3])),
    *(("auto_pad", "SAME_UPPER"), ("alpha", 0.5), ("allowzero", 1), ("batch_dims", 1)),
    *(("start", -1), ("end", 1), ("value_int", 3)),
]


def weights(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def seeds(model: Any) -> list[onnx.ModelProto]:
    """Valid models that hold most operators with a lowering."""
    return [
        model(
            """(float[N, 4, 9, 9] x) => (float[N, 8] z) {
                a = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(x, first, bias)
                b = BatchNormalization(a, one, bias, bias, one)  c = Relu(b)
                d = Conv<group=2, dilations=[2, 2], pads=[2, 2, 2, 2]>(c, second)  e = Add(d, c)
                p = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(e)
                q = AveragePool<kernel_shape=[2, 2]>(p)  g = GlobalAveragePool(q)
                f = Flatten<axis=1>(g)  z = Gemm<transB=1>(f, last, bias) }""",
            first=weights(8, 4, 3, 3),
            second=weights(8, 4, 3, 3),
            last=weights(8, 8),
            bias=weights(8),
            one=np.ones(8),
        ),
        model(
            """(int64[B, T] ids, float[B, 1, 1, T] mask) => (float[B, T, 8] y, float[B, 8] z) {
                x = Gather(table, ids)  q = MatMul(x, w)  k = MatMul(x, w2)  v = MatMul(x, w3)
                qs = Reshape(q, split)  qt = Transpose<perm=[0, 2, 1, 3]>(qs)
                ks = Reshape(k, split)  kt = Transpose<perm=[0, 2, 3, 1]>(ks)
                vs = Reshape(v, split)  vt = Transpose<perm=[0, 2, 1, 3]>(vs)
                s = MatMul(qt, kt)  t = Mul(s, factor)  u = Add(t, mask)  p = Softmax<axis=-1>(u)
                o = MatMul(p, vt)  ot = Transpose<perm=[0, 2, 1, 3]>(o)  r = Reshape(ot, join)
                n = Add(r, x)  h = LayerNormalization<axis=-1>(n, bias, bias)  y = Abs(h)
                z = ReduceMean<axes=[1], keepdims=0>(y) }""",
            table=weights(11, 8),
            w=weights(8, 8),
            w2=weights(8, 8) + 1,
            w3=weights(8, 8) + 2,
            split=np.array([0, 0, 2, 4]),
            join=np.array([0, 0, 8]),
            factor=np.array(0.5),
            bias=weights(8),
        ),
        model(
            """(int64[B, T] ids, float[B, T, 6] x) => (float[B, T, 5] y, int64[K] r,
                                                       float[B, C, T] c) {
                s = Shape(ids)  n = Gather<axis=0>(s, one)  some = Slice(table, zero, n, zero)
                a = Add(x, some)  y = MatMul(a, w)  n0 = Squeeze(n, zero)
                rr = Range(zero0, n0, one0)  r2 = Unsqueeze(rr, zero)  r = Squeeze(r2, zero)
                t = Transpose<perm=[0, 2, 1]>(y)  t2 = Slice(t, zero, two, one)
                c = Concat<axis=1>(t, t2) }""",
            table=weights(20, 6),
            w=weights(6, 5),
            one=np.array([1]),
            zero=np.array([0]),
            two=np.array([2]),
            zero0=np.array(0),
            one0=np.array(1),
        ),
        model(
            """(float[N, 6] x, bool[N, 1] k) => (float[N, 6] y, float[N, 3] g, float[2, 6] h,
                                                 double[N, 6] d, float[N, 6] o) {
                a = Abs(x)  l = Clip(a, low, high)  b = Where(k, l, x)  y = MatMul(b, w)
                g = Gather<axis=1>(y, some)  h = GatherElements<axis=0>(t, turn)
                p = Pow(a, high)  d = Cast<to=11>(p)  c = ConstantOfShape(square)
                e = Expand(c, square)  o = MatMul(x, e) }""",
            low=np.array(0.1),
            high=np.array(2.0),
            w=weights(6, 6),
            some=np.array([0, 5, -1]),
            t=weights(2, 6),
            turn=np.array([[0, 1, 0, 1, 0, 1], [1, 1, 1, 1, 0, 0]]),
            square=np.array([6, 6]),
        ),
        model(
            """(float[N, 6, 4] x) => (float[N, 6, 4] y, float[N, 6, 4] z, float[N, 4] r,
                                      int64[N, 4] i, float[N, 6, 4] t, float[N, 6, 6] g) {
                m = MatMul(x, w)  y = Softmax<axis=-1>(m)  a, b = Split<axis=1, num_outputs=2>(x)
                c = Concat<axis=1>(b, a)  z = Mul(c, y)  r = ReduceSum<keepdims=0>(z, axis)
                i = ArgMax<axis=1, keepdims=0>(z)  t = Trilu<upper=0>(z)  d = Tile(x, repeats)
                e = Pad(d, pads)  u = CumSum(e, one)  g = MatMul(x, turned)
                n = InstanceNormalization(x, six, six)  h = OneHot<axis=1>(i, four, two) }""",
            opset=18,
            w=weights(4, 4),
            axis=np.array([1]),
            repeats=np.array([1, 2, 1]),
            pads=np.array([0, 1, 0, 0, 1, 0]),
            one=np.array(1),
            turned=weights(1, 4, 6),
            six=weights(6),
            four=np.array(4),
            two=np.array([0.0, 1.0]),
        ),
        model(
            """(float[N, 4, 6, 6] x) => (float[N, 2, 13, 13] y, float[N, 1, 12, 12] z,
                                         float[N, 4, 12, 12] u, float[N, 4, 1, 1] g) {
                y = ConvTranspose<strides=[2, 2]>(x, k, b)  z = DepthToSpace<blocksize=2>(x)
                u = Resize<mode="linear">(x, , scales)  p = Pad<mode="reflect">(x, pads)
                c = Conv<auto_pad="SAME_UPPER">(p, w)  g = GlobalMaxPool(c)
                v = AveragePool<kernel_shape=[2, 2], count_include_pad=1>(x)  n = LRN<size=3>(x)
                l = MaxPool<kernel_shape=[2, 2], ceil_mode=1, strides=[3, 3]>(c) }""",
            k=weights(4, 2, 3, 3),
            b=weights(2),
            scales=np.array([1.0, 1.0, 2.0, 2.0]),
            pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            w=weights(4, 4, 3, 3),
        ),
    ]


def mutate(model: onnx.ModelProto, chance: random.Random) -> None:
    """Break one thing."""
    graph = model.graph
    node = chance.choice(graph.node)
    number = chance.choice(NUMBERS)
    tensor = chance.choice(graph.initializer)
    names = [name for other in graph.node for name in other.output]
    names += ["", "nowhere", *(t.name for t in graph.initializer), *(i.name for i in graph.input)]

    def change_port() -> None:
        port = chance.choice([*graph.input, *graph.output])
        size = chance.choice(port.type.tensor_type.shape.dim)
        size.Clear()
        if chance.random() < 0.5:
            size.dim_value = number

    def change_constant() -> None:
        array = numpy_helper.to_array(tensor).copy()
        if array.dtype.kind == "i":
            array.reshape(-1)[chance.randrange(array.size)] = number
        else:
            changes: list[Callable[[], Any]] = [
                lambda: array.reshape(-1),
                lambda: array[..., None],
                lambda: np.repeat(array.reshape(-1), 2),
                lambda: array[:0] if array.ndim else array,
                lambda: array.astype(chance.choice([np.float64, np.int64, np.float16, bool])),
            ]
            array = chance.choice(changes)()
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))

    def change_attribute() -> None:
        found = [a for other in graph.node for a in other.attribute]
        if not found:
            return
        attribute = chance.choice(found)
        if attribute.ints:
            attribute.ints[chance.randrange(len(attribute.ints))] = number
        elif attribute.type == attribute.INT:
            attribute.i = number

    def add_attribute() -> None:
        name, value = chance.choice(ATTRIBUTES)
        if isinstance(value, int) and chance.random() < 0.5:
            value = number
        if name not in [attribute.name for attribute in node.attribute]:
            node.attribute.append(helper.make_attribute(name, value))

    def rewire() -> None:
        node.input[chance.randrange(len(node.input))] = chance.choice(names)

    def change_operator() -> None:
        others = [other.op_type for other in graph.node]
        node.op_type = chance.choice([*others, "Sub", "Div", "Not", "GatherND", "GlobalMaxPool"])

    def change_dimensions() -> None:
        if tensor.dims:
            tensor.dims[chance.randrange(len(tensor.dims))] = number

    changes = [change_port, change_constant, change_constant, change_attribute, change_attribute]
    changes += [add_attribute, rewire, change_operator, change_dimensions]
    changes += [
        lambda: graph.node.remove(node),
        lambda: graph.node.append(node),
        lambda: graph.initializer.remove(tensor),
        lambda: node.input.append(tensor.name),
        lambda: node.output.append("extra"),
        lambda: setattr(model.opset_import[0], "version", chance.choice([1, 9, 11, 13, 22, 999])),
    ]
    chance.choice(changes)()


def try_out(model: onnx.ModelProto | bytes) -> None:
    """Compile and run a model; only the errors that say what is wrong may come of it."""
    try:
        session = compile(model, threads=1, engine="gossamer")
        feeds = {}
        for port in session.get_inputs():
            shape = [size if isinstance(size, int) else 2 for size in port.shape]
            kinds = {"tensor(float)": f32, "tensor(double)": np.float64, "tensor(bool)": bool}
            if np.prod(shape, dtype=float) > 1e6:
                return
            feeds[port.name] = np.ones(shape, kinds.get(port.type, np.int64))
        session.run(None, feeds)
    except (ModelError, DataError) as error:
        assert "\n" not in str(error)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 3))
def test_a_model_with_something_broken(model: Any, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    broken = chance.choice(seeds(model))
    for _ in range(changes):
        try:
            mutate(broken, chance)
        except (IndexError, ValueError):
            # Nothing of that kind is there, or what an earlier change left cannot be read.
            continue
    try_out(broken)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_that_were_changed(model: Any, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds(model))).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try_out(bytes(content))


# What fuzzing found, one case each


MATMUL = "(float[N,4] x) => (float[N,4] y, float[a,b] z) { y = MatMul(x, w)"
CONV = "(float[N,1,4,4] x) => (float[N,1,a,b] y)"
FOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "a constant of a terabyte": (
        f"{MATMUL} z = ConstantOfShape(s) }}",
        {"w": EYE, "s": np.array([2**20, 2**18])},
    ),
    "constants that are folded into each other": (
        f"{MATMUL} c = ConstantOfShape(s)  d = Expand(c, s)  e = Add(c, d)  z = MatMul(e, d) }}",
        {"w": EYE, "s": np.array([2**18, 2**18])},
    ),
    "an input of 2^124 elements": (
        "(float[4611686018427387904,4611686018427387904] x) => (float[a,b] y) { y = Relu(x) }",
        {},
    ),
    "sizes beside a size of 0": (
        """(float[0,4611686018427387904,4611686018427387904] x, float[N,4] q)
           => (float[a,b] y, float[N,4] z) { y = Flatten<axis=1>(x)  z = MatMul(q, w) }""",
        {"w": EYE},
    ),
    "padding of a million rows": (
        f"{CONV} {{ y = Conv<pads=[1000000, 1000000, 1000000, 1000000]>(x, w) }}",
        {"w": np.ones((1, 1, 3, 3))},
    ),
    "a stride of a billion": (
        f"{CONV} {{ y = Conv<strides=[1000000000, 1000000000]>(x, w) }}",
        {"w": np.ones((1, 1, 3, 3))},
    ),
    "a dilation of a million": (
        f"""{CONV} {{
            y = Conv<dilations=[1000000, 1000000], pads=[2000000, 2000000, 0, 0]>(x, w) }}""",
        {"w": np.ones((1, 1, 3, 3))},
    ),
    "a window without elements": (
        "(float[N,1,4,4] x) => (float[N,1,a,b] y) { y = AveragePool<kernel_shape=[0, 2]>(x) }",
        {},
    ),
    "no groups": (f"{CONV} {{ y = Conv<group=0>(x, w) }}", {"w": np.ones((1, 1, 1, 1))}),
    "a batch norm of other channels": (
        """(float[N,2,4,4] x) => (float[N,4,4,4] y) {
            a = Conv(x, w, b)  y = BatchNormalization(a, s, s, s, s) }""",
        {"w": np.ones((4, 2, 1, 1)), "b": np.ones(4), "s": np.ones(8)},
    ),
    "a batch norm after a bias of other channels": (
        """(float[N,2,4,4] x) => (float[N,4,4,4] y) {
            a = Conv(x, w, b)  y = BatchNormalization(a, s, s, s, s) }""",
        {"w": np.ones((4, 2, 1, 1)), "b": np.ones(3), "s": np.ones(4)},
    ),
    "a choice by a number": (
        f"{MATMUL} z = Where(x, x, y) }}",
        {"w": EYE},
    ),
    "a sum of two types": (f"{MATMUL} z = Add(y, i) }}", {"w": EYE, "i": np.arange(4)}),
    "a reshape to negative sizes": (
        f"{MATMUL} z = Reshape(x, s) }}",
        {"w": EYE, "s": np.array([-1, -3])},
    ),
    "a concatenation of scalars": (
        f"{MATMUL} z = Concat<axis=0>(s, s) }}",
        {"w": EYE, "s": np.array(1.0)},
    ),
    "a slice that cuts an axis twice": (
        f"{MATMUL} z = Slice(x, s, e, a) }}",
        {"w": EYE, "s": np.array([0, 0]), "e": np.array([1, 3]), "a": np.array([1, -1])},
    ),
    "elements gathered by another rank": (
        f"{MATMUL} z = GatherElements<axis=1>(x, i) }}",
        {"w": EYE, "i": np.array([0, 7])},
    ),
    "a node with more outputs than it has": (
        f"{MATMUL} z, o = InstanceNormalization(y, w, w) }}",
        {"w": EYE},
    ),
    "a split whose parts do not add up": (
        f"{MATMUL} z, o = Split<axis=1>(y, s) }}",
        {"w": EYE, "s": np.array([1, 9])},
    ),
    "a constant gathered from far outside": (
        f"{MATMUL} t = GatherElements<axis=0>(w, i)  z = Add(y, t) }}",
        {"w": EYE, "i": np.full((4, 4), 2**50)},
    ),
    "a split into more parts than memory holds": (
        f"{MATMUL} z, o = Split<axis=1, num_outputs=1099511627776>(y) }}",
        {"w": EYE},
    ),
    "padding of fewer axes than there are": (
        f"{MATMUL} z = Pad(y, p) }}",
        {"w": EYE, "p": np.array([1, 1])},
    ),
    "constants gathered along an axis that is not there": (
        f"{MATMUL} t = GatherElements<axis=5>(w, i)  z = Add(y, t) }}",
        {"w": EYE, "i": np.zeros((4, 4), np.int64)},
    ),
    "a gather of negative depth": (
        f"{MATMUL} z = GatherND<batch_dims=-1>(x, i) }}",
        {"w": EYE, "i": np.array([[9, 9]])},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found(model: Any, name: str) -> None:
    text, constants = FOUND[name]
    with pytest.raises((ModelError, DataError)):
        run_small(model(text, opset=18, **constants))


def run_small(broken: onnx.ModelProto) -> None:
    session = compile(broken, threads=1, engine="gossamer")
    session.run(
        None,
        {
            port.name: np.ones([s if isinstance(s, int) else 2 for s in port.shape], f32)
            for port in session.get_inputs()
        },
    )


def test_a_window_of_a_million_elements_is_legal(model: Any, agrees: Any) -> None:
    wide = model(
        """(float[N,1,1000,1000] x) => (float[N,1,1,1] y) {
            y = MaxPool<kernel_shape=[1000, 1000]>(x) }"""
    )
    agrees(wide, {"x": weights(1, 1, 1000, 1000).astype(f32)}, native=False)


def test_a_convolution_without_outputs_is_legal(model: Any) -> None:
    empty = model(f"{CONV} {{ y = Conv(x, w) }}", w=np.ones((0, 1, 1, 1)))
    session = compile(empty, engine="gossamer")
    assert session.run(None, {"x": np.ones((2, 1, 4, 4), f32)})[0].shape == (2, 0, 4, 4)


@pytest.mark.parametrize("count", [2, 1, 0, -1])
def test_a_split_has_no_more_outputs_than_it_says(model: Any, count: int) -> None:
    """ONNX Runtime ends the process over it."""
    text = f"{MATMUL} z, o, p = Split<axis=1, num_outputs={count}>(y) }}"
    with pytest.raises(ModelError, match="more outputs than its num_outputs"):
        compile(model(text, opset=18, w=EYE))


def test_a_constant_has_one_value(model: Any) -> None:
    text = "(float[N,4] x) => (float[N,4] y) { c = Constant<value_float=1.0>()  y = Add(x, c) }"
    none, two = model(text), model(text)
    del none.graph.node[0].attribute[:]
    two.graph.node[0].attribute.append(helper.make_attribute("value_int", 3))
    for broken in (none, two):
        with pytest.raises(ModelError, match="constant 'c' has not one value"):
            compile(broken, engine="gossamer")


def test_many_operands_and_long_chains_compile(model: Any) -> None:
    names = ", ".join(["x"] * 1000)
    chain = "".join(f"a{i + 1} = Abs(a{i}) " for i in range(1000))
    large = model(
        f"""(float[N,4] x) => (float[N,4] y, float[N,m] z) {{ a0 = MatMul(x, w) {chain}
            y = Neg(a1000)  z = Concat<axis=1>({names}) }}""",
        w=EYE,
    )
    y, z = compile(large, engine="gossamer").run(None, {"x": np.ones((2, 4), f32)})
    np.testing.assert_array_equal(y, -np.ones((2, 4)))
    assert z.shape == (2, 4000)


def test_sizes_that_grow_out_of_hand_are_left_to_a_run(model: Any) -> None:
    steps = "".join(
        f"b{i} = Add(a{i}, s)  c{i} = Concat<axis=0>(b{i}, b{i})  d{i} = ReduceProd(c{i})  "
        f"a{i + 1} = Add(d{i}, s)  "
        for i in range(60)
    )
    try_out(
        model(
            f"""(float[N,4] x) => (float[z] y, float[N,4] q) {{
                s = Shape(x)  a0 = Mul(s, s)  {steps} y = Reshape(x, a60)  q = MatMul(x, w) }}""",
            w=EYE,
        )
    )


def calling(levels: int, recursive: bool = False) -> onnx.ModelProto:
    """A model of functions, each of which calls the one before twice."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def call(level: int, source: str, output: str) -> onnx.NodeProto:
        return helper.make_node(f"f{level}", [source], [output], domain="own")

    functions = []
    for level in range(levels):
        nodes = [helper.make_node("Relu", ["a"], ["b"])]
        if level or recursive:
            below = (level - 1) % levels
            nodes = [call(below, "a", "t"), call(below, "t", "b")]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], nodes, imports))
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([call(levels - 1, "x", "y")], "calling", ports[:1], ports[1:])
    return helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=8)


def test_functions_may_neither_recur_nor_explode() -> None:
    assert compile(calling(5)).run(None, {"x": -np.ones(1, f32)}) == [0]
    with pytest.raises(ModelError, match=r"functions become .* nodes"):
        compile(calling(40))
    for levels in (1, 3):
        with pytest.raises(ModelError, match="recursive"):
            compile(calling(levels, recursive=True))


def test_data_in_another_file_needs_the_models_path(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes have no folder that the data could lie in."""
    small = model("(float[N,4] x) => (float[N,4] y) { y = MatMul(x, w) }", w=EYE)
    onnx.save(small, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    monkeypatch.chdir(tmp_path)
    compile(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="lies in another file; give the path"):
        compile((tmp_path / "m.onnx").read_bytes())


@pytest.mark.parametrize("shape", [[2**40], [2**62, 2**62]])
def test_a_sparse_tensor_is_no_larger_than_memory(model: Any, shape: list[int]) -> None:
    broken = model("(float[N,4] x) => (float[N,4] y) { y = MatMul(x, w) }")
    values = helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("places", onnx.TensorProto.INT64, [1], [0])
    broken.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, shape))
    with pytest.raises(ModelError):
        compile(broken)


# Sizes that the machine decides on


def test_a_value_beyond_memory_is_named_with_its_shape(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = model(
        "(float[N,1000,1000] x) => (float[N,1000,4] y) { y = MatMul(x, w) }", w=weights(1000, 4)
    )
    monkeypatch.setattr(bounds, "memory", lambda: 2 << 20)
    with pytest.raises(ModelError, match=r"'x' of shape \[N, 1000, 1000\] takes 0.00373 GiB"):
        compile(small)


def test_a_batch_beyond_memory_is_refused_and_a_large_one_runs(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = model("(float[N,T,64] x) => (float[N,T,64] y) { y = MatMul(x, w) }", w=np.eye(64))
    session = compile(small, threads=1, engine="gossamer")
    monkeypatch.setattr(bounds, "memory", lambda: 64 << 20)
    x = np.ones((3_000, 16, 64), f32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)
    with pytest.raises(DataError, match=r"inputs of these sizes need .* give fewer or shorter"):
        session.run(None, {"x": np.ones((12_000, 16, 64), f32)})
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)


def test_rows_of_different_lengths_are_no_array(model: Any) -> None:
    session = compile(model("(float[N,4] x) => (float[N,4] y) { y = MatMul(x, w) }", w=EYE))
    with pytest.raises(DataError, match="input 'x' is no array"):
        session.run(None, {"x": [[1, 2], [3]]})


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory")
def test_nothing_large_is_allocated_on_the_way(model: Any, tmp_path: Path) -> None:
    """In a process that may take little more than it has after its imports."""
    for name, (text, constants) in FOUND.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model(text, opset=18, **constants).SerializeToString())
    program = (
        "import pathlib, resource, sys, onnxruntime\n"
        "import onnx.reference, gossamer.runtime as r\n"
        "from gossamer.errors import GossamerError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + (2 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: r.compile(path, threads=1, engine='gossamer')\n"
        "    except GossamerError as error:\n"
        "        assert 'not enough memory' not in str(error), (path, error)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
