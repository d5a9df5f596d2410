"""Runs of a program: what lives outside its memory, and what a run leaves behind."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from gossamer.errors import DataError, ModelError
from gossamer.runtime import Session, compile, onnx_import
from gossamer.runtime.graph import Value
from gossamer.runtime.program import Program
from gossamer.runtime.steps import Constants

f32 = np.float32


def test_nothing_of_one_run_is_seen_by_the_next(session: Session, feeds: Any) -> None:
    expected = session.run(None, feeds(40))
    poison = feeds(40)
    poison["x"][:] = np.nan
    assert np.isnan(session.run(None, poison)[0]).all()
    for one, other in zip(session.run(None, feeds(40)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lanes_beyond_the_end_do_not_leak(session: Session, feeds: Any) -> None:
    """A batch that fills a group of lanes in part, after one that filled it with infinities."""
    expected = session.run(None, feeds(3))
    wild = feeds(16)
    wild["x"][:] = np.inf
    session.run(None, wild)
    for one, other in zip(session.run(None, feeds(3)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_refused_index_is_forgotten(session: Session, feeds: Any) -> None:
    expected = session.run(None, feeds(4))
    with pytest.raises(DataError, match="token ids fit its vocabulary"):
        session.run(None, feeds(4) | {"ids": np.full(4, 5)})
    for one, other in zip(session.run(None, feeds(4)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_inputs_are_not_changed(session: Session, feeds: Any) -> None:
    given = feeds(7)
    kept = {name: array.copy() for name, array in given.items()}
    session.run(None, given)
    for name, array in given.items():
        np.testing.assert_array_equal(array, kept[name])


def test_an_output_may_be_an_input_or_a_view_of_it(model: Any) -> None:
    session = compile(
        model(
            """(float[N, 4] x) => (float[N, 4] same, float[M] flat, float[N, 4] y) {
                same = Identity(x)  flat = Reshape(x, all)  y = MatMul(x, w) }""",
            w=np.eye(4),
            all=np.array([-1]),
        )
    )
    x = np.arange(8, dtype=f32).reshape(2, 4)
    same, flat, y = session.run(None, {"x": x})
    same[:] = 0
    flat[:] = 0
    np.testing.assert_array_equal(x, np.arange(8).reshape(2, 4))
    np.testing.assert_array_equal(y, x)


def test_an_output_of_a_layer_may_be_viewed_and_taken_further(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 4] x) => (float[N, 4] a, float[M] b, float[N, 2, 2] c) {
            a = MatMul(x, w)  b = Reshape(a, all)  d = Reshape(a, two)  c = Neg(d) }""",
        w=np.eye(4) * 3,
        all=np.array([-1]),
        two=np.array([0, 2, 2]),
    )
    agrees(small, {"x": np.arange(80, dtype=f32).reshape(20, 4)}, threads=2)


def test_a_constant_output_is_the_callers_to_change(model: Any) -> None:
    session = compile(
        model(
            "(float[N, 4] x) => (float[N, 4] y, float[4] c) { y = MatMul(x, w)  c = Neg(one) }",
            w=np.eye(4),
            one=np.ones(4),
        )
    )
    x = np.ones((1, 4), f32)
    session.run(["c"], {"x": x})[0][:] = 7
    np.testing.assert_array_equal(session.run(["c"], {"x": x})[0], -np.ones(4))


def test_a_scalar_stays_a_scalar(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 4] x, float a) => (float y) {
            b = MatMul(x, w)  c = Add(b, a)  y = ReduceSum<keepdims=0>(c) }""",
        w=np.eye(4),
    )
    agrees(small, {"x": np.ones((2, 4), f32), "a": np.array(2, f32)}, native=False)


def test_an_error_of_onnx_runtime_leaves_nothing_behind(model: Any) -> None:
    session = compile(
        model(
            """(int64[N] ids, float[N, 4] x, float[3] bad) => (float[N, 4] y, float[3] z) {
                t = Gather(table, ids)  a = MatMul(t, w)  s = Add(a, x)  y = Softmax(s)
                n = Cast<to=7>(bad)  e = Expand(o, n)  f = ReduceSum<keepdims=0>(e)
                z = Add(f, bad) }""",
            w=np.eye(4),
            table=np.eye(4),
            o=np.array(1.0),
        )
    )
    right = {"ids": np.zeros(2, np.int64), "x": np.ones((2, 4), f32), "bad": np.ones(3, f32)}
    session.run(None, right)
    with pytest.raises((DataError, ModelError)):
        session.run(None, right | {"ids": np.full(2, 9), "bad": -np.ones(3, f32)})
    session.run(None, right)


# Views of constants: as folding gives up on what is large or cannot be computed, they must run.


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_import, "fold", lambda *_: None)


@pytest.mark.usefixtures("unfolded")
@pytest.mark.parametrize("count", [8, (16 << 20) // 4])
def test_a_view_of_a_constant_lies_where_the_constant_lies(
    model: Any, agrees: Any, count: int
) -> None:
    """Small constants are copied side by side, large ones stay where they are."""
    small = model(
        f"""(float[N, {count}] x) => (float[N, {count}] y) {{
            flat = Reshape(c, all)  row = Reshape(flat, one)  y = Add(x, row) }}""",
        c=np.arange(count).reshape(2, -1) / 8,
        all=np.array([-1]),
        one=np.array([1, -1]),
    )
    agrees(small, {"x": np.ones((1, count), f32)})


@pytest.mark.usefixtures("unfolded")
def test_onnx_runtime_may_take_a_view_of_a_constant(model: Any, agrees: Any) -> None:
    """Beside a kernel that takes the constant itself, which is then let go."""
    small = model(
        """(float[2, 4] x, int64[2, 4] i) => (float[2, 4] y, float[N] z) {
            a = Add(x, c)  v = Reshape(c, shape)  s = ScatterElements(a, i, v)
            w = Reshape(c, all)  z = Neg(w)  y = Add(s, v) }""",
        c=np.arange(8.0).reshape(2, 4),
        shape=np.array([2, 4]),
        all=np.array([-1]),
    )
    feeds = {"x": np.ones((2, 4), f32), "i": np.array([[1, 0, 0, 1]] * 2)}
    agrees(small, feeds, native=False)


@pytest.mark.usefixtures("unfolded")
def test_an_output_may_be_a_view_of_a_constant(model: Any) -> None:
    session = compile(
        model(
            """(float[4] x) => (float[4] y, float[4] one, float[2, 2] other) {
                one = Reshape(c, flat)  y = Add(x, one)  other = Reshape(one, square) }""",
            c=np.arange(4.0).reshape(1, 4),
            flat=np.array([4]),
            square=np.array([2, 2]),
        ),
        engine="gossamer",
    )
    x = np.ones(4, f32)
    for _ in range(2):
        y, one, other = session.run(None, {"x": x})
        np.testing.assert_array_equal(y, [1, 2, 3, 4])
        np.testing.assert_array_equal(one, [0, 1, 2, 3])
        np.testing.assert_array_equal(other, [[0, 1], [2, 3]])
        # They are the caller's to change.
        one[:], other[:] = 7, 8


@pytest.mark.usefixtures("unfolded")
def test_what_was_not_folded_runs(model: Any, agrees: Any, random: np.random.Generator) -> None:
    small = model(
        """(float[N, 4] x) => (float[N, 6] y) {
            t = Transpose<perm=[1, 0]>(w)  s = Mul(t, t)  r = Reshape(s, shape)
            u = Unsqueeze(b, zero)  m = MatMul(x, r)  y = Add(m, u) }""",
        w=random.standard_normal((3, 8)),
        b=random.standard_normal(6),
        shape=np.array([4, 6]),
        zero=np.array([0]),
    )
    agrees(small, {"x": random.standard_normal((5, 4)).astype(f32)})


# Outputs that are not what a kernel has written: each is an array of the caller's own.

OUTPUTS = {
    "an initializer": "(float[N, 4] x) => (float[N, 4] y, float[2, 4] c) { y = Neg(x) }",
    "a constant under two names": """(float[N, 4] x) => (float[2, 4] y, float[2, 4] z) {
        y = Identity(c)  z = Identity(c) }""",
    "a constant computed ahead": """(float[N, 4] x) => (float[N, 4] y, float[4, 2] z) {
        y = Neg(x)  t = Neg(c)  z = Transpose(t) }""",
    "a view of a constant": """(float[N, 4] x) => (float[N, 4] y, float[8] z, float[2, 4] c) {
        y = Neg(x)  z = Reshape(c, all) }""",
    "an input": "(float[N, 4] x) => (float[N, 4] y) { y = Identity(x) }",
    "an input twice": """(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) {
        y = Identity(x)  z = Identity(x) }""",
    "a view of an input": """(float[N, 4] x) => (float[M] y, float[N, 2, 2] z) {
        y = Reshape(x, all)  z = Reshape(y, parts) }""",
    "a view of an output": """(float[N, 4] x) => (float[N, 4] y, float[M] z, float[M] u) {
        y = Neg(x)  z = Reshape(y, all)  u = Identity(z) }""",
    "a view alone": "(float[N, 4] x) => (float[M] z) { y = Neg(x)  z = Reshape(y, all) }",
    "of a layer and its view": """(float[N, 4] x) => (float[N, 4] y, float[M] z, float[N, 4] u) {
        y = MatMul(x, w)  z = Reshape(y, all)  u = Relu(y) }""",
    "of a region": """(float[N, 4] x) => (float[N, 4] y, float[M] z, float[N, 4] u) {
        y = Unknown(x)  z = Reshape(y, all)  u = Neg(y) }""",
    "a view that a region takes": """(float[N, 4] x) => (float[N, 4] y, float[M] v, float[M] z) {
        y = MatMul(x, w)  v = Reshape(y, all)  z = Unknown(v) }""",
    "a view of an input that a region takes": """(float[N, 4] x) => (float[M] v, float[M] z) {
        v = Reshape(x, all)  z = Unknown(v) }""",
    "of two regions": """(float[N, 4] x) => (float[M] v, float[N, 4] z) {
        a = Unknown(x)  b = MatMul(a, w)  v = Reshape(b, all)  d = Unknown(b)  z = Add(d, a) }""",
}


@pytest.mark.parametrize("text", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_every_output_is_the_callers_own(model: Any, reference: Any, text: str) -> None:
    constants = {
        "c": np.arange(8.0).reshape(2, 4),
        "w": np.eye(4) * 3,
        "all": np.array([-1]),
        "parts": np.array([-1, 2, 2]),
    }
    used = {name: value for name, value in constants.items() if re.search(rf"\b{name}\b", text)}
    small = model(text.replace("Unknown", "Dropout"), 11, **used)
    for node in small.graph.node:
        if node.op_type == "Dropout":
            # With its mask as it was then it has a rule for its shape and no lowering.
            node.output.append(f"{node.output[0]}.mask")
    session = compile(small, engine="gossamer")
    left = [line.op for line in session.explain() if line.kernel == "ONNX Runtime"]
    assert left == ["Dropout"] * text.count("Unknown")
    for count in (1, 5):
        x = np.random.default_rng(count).standard_normal((count, 4)).astype(f32)
        given, expected = x.copy(), reference(small, {"x": x})
        for _ in range(2):
            results = session.run(None, {"x": x})
            for position, (ours, theirs) in enumerate(zip(results, expected, strict=True)):
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
                np.testing.assert_array_equal(ours, theirs)
                # Neither the input, nor another output, nor the next run sees what is written.
                ours[...] = position + 100
            np.testing.assert_array_equal(x, given)


def test_a_value_that_nothing_gives_a_place_is_refused(model: Any) -> None:
    """Its address would be 0, which a kernel would read."""
    session = compile(model("(float[N] x) => (float[N] y) { y = Neg(x) }"), engine="gossamer")
    made = session._generated.program
    (call,) = made.steps
    stranger = Value("stranger", np.dtype(f32), (4,))
    call.arguments = {
        name: stranger if isinstance(argument, Value) else argument
        for name, argument in call.arguments.items()
    }
    with pytest.raises(ModelError, match="nothing gives 'stranger' a place in memory"):
        Program(made.graph, made.steps, Constants(), made.team)


def test_an_array_without_memory_is_refused(model: Any) -> None:
    class Nowhere:
        __array_interface__ = {  # noqa: RUF012
            "shape": (0,),
            "typestr": "<f4",
            "data": (0, False),
            "version": 3,
        }

    session = compile(model("(float[N] x) => (float[N] y) { y = Neg(x) }"), engine="gossamer")
    made = session._generated.program
    bound = made._plans.bind({"N": 3})
    (value,) = made.graph.inputs
    with pytest.raises(ModelError, match="'x' has no memory"):
        made._point(bound, value, Nowhere())  # type: ignore[arg-type]
