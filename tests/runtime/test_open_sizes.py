"""What a shape rule answers for an open size holds at every size, or the sizes are limited.

Each model is compiled once, for generated code alone, and compared with ONNX Runtime in shape and
values at the smallest size, on both sides of each number in it, and at a large one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import DataError, GossamerError
from gossamer.runtime import compile

LAST = 2**63 - 1
Open = Mapping[str, int]


def sizes_around(numbers: Iterable[int]) -> list[int]:
    """1, 2, a large size, and what lies on both sides of each number."""
    near = {abs(n) + by for n in numbers if abs(n) < 50 for by in (-1, 0, 1)}
    return sorted({1, 2, 40, *(n for n in near if n > 0)})


def compare(
    model: onnx.ModelProto, sizes: Iterable[Open], reference: Any, close: Any, tolerance: float = 0
) -> int:
    """Compare with ONNX Runtime at each of these sizes; how many of them ran.

    A size that the model does not take must be named as such.
    """
    try:
        session = compile(model, threads=1, engine="gossamer")
    except GossamerError:
        session = None
    ran = 0
    for given in sizes:
        feeds = {}
        for info in model.graph.input:
            dims = info.type.tensor_type.shape.dim
            shape = [d.dim_value or given[d.dim_param] for d in dims]
            count = int(np.prod(shape))
            dtype = onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
            feeds[info.name] = (1 + np.arange(count)).reshape(shape).astype(dtype)
        try:
            expected = reference(model, feeds)
        except Exception:
            if session is not None:
                with pytest.raises(GossamerError):
                    session.run(None, feeds)
            continue
        assert session is not None, "refused, though ONNX Runtime runs it"
        try:
            found = session.run(None, feeds)
        except DataError as error:
            assert "the compiled model takes at" in str(error), given
            continue
        ran += 1
        for ours, theirs in zip(found, expected, strict=True):
            close(ours, theirs, tolerance)
    return ran


# Starts, ends and steps: beside the ends of an axis and beyond, and what exporters write for them.
STARTS = (0, 1, 3, -1, -2, -5, LAST, -LAST)
ENDS = (1, 3, -1, -3, 2**31 - 1, LAST, -LAST)
STEPS = (1, 2, -1, -2)


@pytest.mark.parametrize("start", STARTS)
def test_slices_of_an_open_axis(model: Any, reference: Any, close: Any, start: int) -> None:
    for end, step in itertools.product(ENDS, STEPS):
        small = model(
            "(float[N, 3] x) => (float[M, 3] y) { y = Slice(x, start, end, axis, step) }",
            start=np.array([start]),
            end=np.array([end]),
            axis=np.array([0]),
            step=np.array([step]),
        )
        compare(small, [{"N": n} for n in sizes_around((start, end))], reference, close)


@pytest.mark.parametrize("start", (-7, -4, -3, -1, 0, 2, 3, 7, LAST, -LAST))
def test_slices_of_a_fixed_axis(model: Any, reference: Any, close: Any, start: int) -> None:
    """As ONNX Runtime clamps them, which is not Python's way where steps are negative."""
    for end, step in itertools.product((-7, -1, 0, 2, 7, 2**31 - 1, LAST, -LAST), (1, 2, -1, -3)):
        small = model(
            "(float[N, 3] x) => (float[N, M] y) { y = Slice(x, start, end, axis, step) }",
            start=np.array([start]),
            end=np.array([end]),
            axis=np.array([1]),
            step=np.array([step]),
        )
        compare(small, [{"N": 2}], reference, close)


def test_the_last_elements_run_at_every_size_that_has_them(
    model: Any, reference: Any, close: Any
) -> None:
    for count in (1, 2, 3, 10):
        small = model(
            "(float[N, S, 3] x) => (float[N, M, 3] y) { y = Slice(x, start, end, axis) }",
            start=np.array([-count]),
            end=np.array([LAST]),
            axis=np.array([1]),
        )
        sizes = sizes_around([count])
        ran = compare(small, [{"N": 2, "S": n} for n in sizes], reference, close)
        assert ran == sum(n >= count for n in sizes)


# Of x [B, S, 4], z [S, 4], image [B, 2, H, 5], sound [B, 3, S]; constants by name: see `CONSTANTS`.
NODES = {
    # Ends that are computed from the length, and windows of tables.
    "t = Shape<start=1, end=2>(x)  e = Sub(t, two)  y = Slice(x, zero, e, one)": "S",
    "t = Shape<start=1, end=2>(x)  e = Sub(t, three)  y = Slice(x, e, t, one)": "S",
    "t = Shape<start=1, end=2>(x)  y = Slice(table, zero, t, zero)": "S",
    "t = Shape<start=1, end=2>(x)  e = Sub(t, two)  y = Slice(table, e, t, zero)": "S",
    "t = Shape<start=1, end=2>(x)  e = Neg(t)  y = Slice(table, e, last, zero)": "S",
    "t = Shape<start=1, end=2>(x)  u = Shape<end=1>(x)  y = Slice(x, zero, u, one)": "BS",
    # What is cut off and put together again.
    "a = Slice(x, zero, minus, one)  b = Slice(x, one, last, one)  y = Sub(a, b)": "S",
    "a = Slice(x, one, last, one)  y = Concat<axis=1>(a, x)": "S",
    "a = Slice(x, two, last, one)  y = Concat<axis=1>(x, a)": "S",
    "a = Slice(x, one, last, one)  y = ReduceMax<keepdims=0>(a)": "S",
    # Padding: by numbers, by sizes, and by less than nothing.
    "y = Pad(z, pads)": "S",
    "y = Pad(z, cropping)": "S",
    'y = Pad<mode="edge">(z, pads)': "S",
    'y = Pad<mode="reflect">(z, pads)': "S",
    "t = Shape<end=2>(z)  a = Mul(t, zeros)  b = Sub(a, t)  c = Add(b, four) "
    "p = Concat<axis=0>(a, c)  q = Mul(p, rows)  y = Pad(z, q)": "S",
    # Parts.
    "y, w = Split<axis=1>(x, parts)": "S",
    "y, w = Split<axis=1>(x)": "S",
    "y, w = Split<axis=2>(x)": "S",
    # Shapes that are computed.
    "y = Reshape(x, flat)": "BS",
    "y = Reshape(x, halves)": "BS",
    "t = Shape<end=2>(x)  u = Sub(t, zeros)  v = Concat<axis=0>(u, minus)  y = Reshape(x, v)": "BS",
    "t = Shape<start=1, end=2>(x)  u = Sub(t, one)  y = ConstantOfShape(u)": "S",
    "t = Shape<start=1, end=2>(x)  u = Sub(t, two)  v = Concat<axis=0>(u, one)  y = Expand(m, v)": (
        "S"
    ),
    "t = Shape<start=1, end=2>(x)  u = Sub(t, two)  v = Concat<axis=0>(u, one)  y = Tile(m, v)": (
        "S"
    ),
    "t = Shape(x)  u = Gather(t, first)  v = Sub(u, two_)  i = Range(zero_, v, one_) "
    "y = Cast<to=1>(i)": "B",
    "t = Shape(x)  u = Gather(t, first)  i = Range(two_, u, two_)  y = Cast<to=1>(i)": "B",
    "t = Shape<start=1, end=2>(x)  h = Div(t, two)  y = Slice(x, zero, h, one)": "S",
    "t = Shape<start=1, end=2>(x)  h = Sub(t, three)  g = Div(h, two)  y = ConstantOfShape(g)": "S",
    "t = Shape<start=1, end=2>(x)  u = Sub(t, one)  c = Cast<to=9>(u)  v = Where(c, two, three) "
    "y = ConstantOfShape(v)": "S",
    "t = Shape<start=1, end=2>(x)  c = Equal(t, three)  v = Where(c, two, three) "
    "y = ConstantOfShape(v)": "S",
    "t = Shape<start=1, end=2>(x)  c = Cast<to=3>(t)  d = Cast<to=7>(c)  y = ConstantOfShape(d)": (
        "S"
    ),
    "a = Squeeze(x)  y = Reshape(a, minus)": "BS",
    "y = Squeeze(x, one)": "BS",
    "y = Add(x, bias)": "BS",
    "y = Expand(x, like)": "BS",
    # Windows: larger than the smallest input, with strides, with padding that depends on it.
    "y = Conv(sound, kernel)": "S",
    "y = Conv<pads=[1, 1]>(sound, kernel)": "S",
    "y = Conv<strides=[2]>(sound, kernel)": "S",
    'y = Conv<auto_pad="SAME_UPPER">(sound, kernel)': "S",
    'y = Conv<auto_pad="SAME_LOWER", strides=[2]>(sound, kernel)': "S",
    "y = ConvTranspose(sound, kernel)": "S",
    "y = MaxPool<kernel_shape=[3]>(sound)": "S",
    "y = MaxPool<kernel_shape=[3], strides=[2], ceil_mode=1>(sound)": "S",
    "y = AveragePool<kernel_shape=[3, 3]>(image)": "H",
    "y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1>(image)": "H",
    'y = MaxPool<kernel_shape=[3, 3], auto_pad="SAME_UPPER">(image)': "H",
    "y = GlobalAveragePool(image)": "H",
    "y = SpaceToDepth<blocksize=2>(image)": "H",
    "y = DepthToSpace<blocksize=1>(image)": "H",
    # Look-ups.
    "i = Shape<start=1, end=2>(x)  j = Sub(i, one)  y = Gather<axis=1>(x, j)": "S",
    "y = Gather<axis=1>(x, three)": "S",
    "y = Gather<axis=1>(x, minus)": "S",
    "t = Shape<start=1>(x)  u = Sub(t, one)  v = Slice(u, zero, one)  o = OneHot(one, v, off_on) "
    "y = Cast<to=1>(o)": "S",
    "i = ArgMax<axis=1>(x)  y = Cast<to=1>(i)": "S",
    "a = Slice(x, one, last, one)  i = ArgMax<axis=1>(a)  y = Cast<to=1>(i)": "S",
    "y = CumSum(x, one_)": "S",
    "a = Slice(x, one, last, one)  b = Transpose<perm=[0, 2, 1]>(a)  y = MatMul(a, b)": "S",
    "a = Slice(x, one, last, one)  y = Softmax<axis=1>(a)": "S",
}
CONSTANTS: dict[str, Any] = {
    **{name: np.array([n]) for name, n in (("zero", 0), ("one", 1), ("two", 2), ("three", 3))},
    **{name: np.array(n) for name, n in (("zero_", 0), ("one_", 1), ("two_", 2), ("first", 0))},
    "minus": np.array([-1]),
    "last": np.array([LAST]),
    "four": np.array([4, 4]),
    "zeros": np.array([0, 0]),
    "rows": np.array([1, 0, 1, 0]),
    "like": np.array([1, 3, 1]),
    "pads": np.array([2, 0, 1, 0]),
    "cropping": np.array([-1, 0, -1, 0]),
    "parts": np.array([2, 1]),
    "flat": np.array([0, -1]),
    "halves": np.array([-1, 2, 4]),
    "table": np.arange(20).reshape(5, 4) / 2,
    "m": np.ones((1, 1)),
    "bias": np.arange(12).reshape(3, 4) / 4,
    "kernel": np.arange(27).reshape(3, 3, 3) / 16,
    "off_on": np.array([0, 5]),
}


@pytest.mark.parametrize("nodes", NODES)
def test_operators_on_open_axes(model: Any, reference: Any, close: Any, nodes: str) -> None:
    named = {name: value for name, value in CONSTANTS.items() if f"{name}" in nodes}
    taken = {
        "x": "float[B, S, 4] x",
        "z": "float[S, 4] z",
        "image": "float[B, 2, H, 5] image",
        "sound": "float[B, 3, S] sound",
    }
    inputs = [text for name, text in taken.items() if f"({name}" in nodes or f", {name})" in nodes]
    small = model(f"({', '.join(inputs)}) => (float[P] y) {{ {nodes} }}", 14, **named)
    # The rank of the output is whatever it is.
    small.graph.output[0].type.tensor_type.ClearField("shape")
    small = onnx.shape_inference.infer_shapes(small)
    numbers = sizes_around((1, 2, 3, 4, 5))
    sizes = [
        {"B": batch, "S": size, "H": size}
        for batch in ((1, 3, 5) if "B" in NODES[nodes] else (2,))
        for size in (numbers if NODES[nodes] != "B" else (3,))
    ]
    compare(small, sizes, reference, close, 1e-5)


@pytest.mark.parametrize(
    ("nodes", "kind", "fitting"),
    [
        ("y = Add(z, x)", "float", 2),
        ("y = BitwiseAnd(z, x)", "uint8", 2),
        ('y = BitShift<direction="LEFT">(z, x)', "uint8", 2),
        ("y = com.microsoft.QLinearAdd(z, scale, zero, x, scale, zero, scale, zero)", "uint8", 2),
        ("t = Transpose(z)  y = MatMul(t, x)", "float", 1),
        ("t = Transpose(z)  y = MatMulInteger(t, x)", "uint8", 1),
    ],
)
def test_sizes_that_fit_only_where_a_slice_is_cut_short_are_run(
    model: Any, reference: Any, close: Any, nodes: str, kind: str, fitting: int
) -> None:
    """`x[-5::2]` has three elements wherever there are five, which no operand of five fits."""
    small = model(
        f"({kind}[N, 3] x) => (float[P] y) {{ z = Slice(x, start, end, axis, step)  {nodes} }}",
        18,
        start=np.array([-5]),
        end=np.array([LAST]),
        axis=np.array([0]),
        step=np.array([2]),
        scale=np.array(1.0),
        zero=np.array(0, np.uint8),
    )
    small.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    small.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="y"))
    assert compare(small, [{"N": n} for n in range(1, 9)], reference, close, 1e-5) == fitting
