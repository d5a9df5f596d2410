"""Nodes without a lowering run in ONNX Runtime, on no more of the graph than holds them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.runtime import compile
from gossamer.runtime.fallback import FallbackRegion, schedule
from gossamer.runtime.steps import Alias

f32 = np.float32


def regions(session: Any) -> list[list[str]]:
    """The operators of each region, in order."""
    steps = session._generated.program.steps
    return [[n.op for n in s.nodes] for s in steps if isinstance(s, FallbackRegion)]


def kernels(session: Any) -> list[str]:
    return [
        "fallback" if isinstance(step, FallbackRegion) else step.kernel
        for step in session._generated.program.steps
        if not isinstance(step, Alias)
    ]


NAMES = ("ScatterElements", "ReverseSequence", "ScatterND")


@pytest.fixture
def islands(model: Any, random: np.random.Generator) -> onnx.ModelProto:
    """Two operators without a lowering, between layers."""
    made: onnx.ModelProto = model(
        """(float[N, 8] x) => (float[N, 8] y, float[N, 8] z) {
            a = MatMul(x, w)  b = ScatterElements(a, place, new)  c = MatMul(b, w)
            d = ReverseSequence(c, ones)  e = ScatterND(d, place, row)  f = MatMul(e, w)
            y = Relu(f)  z = ScatterND(b, place, row)
        }""",
        w=random.standard_normal((8, 8)),
        place=np.array([[0]]),
        new=np.array([[2.0]]),
        ones=np.ones(8, np.int64),
        row=np.ones((1, 8)),
    )
    return made


def test_each_island_is_a_region_of_its_own(islands: Any, agrees: Any) -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((5, 8)).astype(f32)}
    session = agrees(islands, feeds, threads=2, native=False)
    assert regions(session) == [["ScatterElements", "ScatterND"], ["ReverseSequence", "ScatterND"]]
    assert kernels(session).count("dense linear") == 3


def test_explain_says_why(islands: Any) -> None:
    left = {
        line.op: line.reason
        for line in compile(islands, engine="gossamer").explain()
        if line.reason
    }
    assert left == {op: f"no lowering for ai.onnx {op}" for op in NAMES}


def test_a_region_is_timed_as_one(islands: Any) -> None:
    feeds = {"x": np.random.default_rng(0).standard_normal((5, 8)).astype(f32)}
    session = compile(islands, threads=2, engine="gossamer")
    before = session.run(None, feeds)
    lines = session.explain(feeds)
    left = [line for line in lines if line.kernel == "ONNX Runtime"]
    assert [line.op for line in left] == [
        *("ScatterElements", "ScatterND", "ReverseSequence", "ScatterND")
    ]
    assert [line.seconds is not None for line in left] == [True, False] * 2
    assert sum(line.share or 0 for line in lines) == pytest.approx(1)
    for one, other in zip(session.run(None, feeds), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_batch_needs_nothing_new(islands: Any, reference: Any, close: Any) -> None:
    session = compile(islands, threads=2, engine="gossamer")
    for batch in (1, 40, 3):
        feeds = {"x": np.random.default_rng(batch).standard_normal((batch, 8)).astype(f32)}
        for ours, theirs in zip(session.run(None, feeds), reference(islands, feeds), strict=True):
            close(ours, theirs, 1e-4)


def test_without_onnx_runtime_the_operators_and_the_extra_are_named(
    islands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        ModelError, match=r"ScatterElements: no lowering.*install gossamer\[ort\]"
    ) as refused:
        compile(islands)
    assert "\n" not in str(refused.value)


def test_what_onnx_runtime_refuses_is_a_model_error(model: Any) -> None:
    unknown = model(
        "(float[N, 4] x) => (float[N, 4] y) { a = MatMul(x, w)  y = Elu(a) }", w=np.eye(4)
    )
    unknown.graph.node[1].op_type = "Thing"
    unknown.graph.node[1].domain = "com.example"
    unknown.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ModelError, match="ONNX Runtime refuses the model"):
        compile(unknown)


def test_an_operator_of_another_domain_is_not_ours(model: Any) -> None:
    """Whatever it is called."""
    for name in ("Linear", "Attention", "Convolution", "Add", "LayerNormalization"):
        foreign = model(
            "(float[N, 4] x) => (float[N, 4] y) { a = MatMul(x, w)  y = Elu(a, a, a) }", w=np.eye(4)
        )
        foreign.graph.node[1].op_type = name
        foreign.graph.node[1].domain = "com.example"
        foreign.opset_import.append(helper.make_opsetid("com.example", 1))
        with pytest.raises(ModelError, match="ONNX Runtime refuses the model"):
            compile(foreign)


def test_attention_of_onnx_is_not_our_attention(model: Any, agrees: Any) -> None:
    """It runs as ONNX defines it."""
    newer = model(
        """(float[B, 2, S, 4] q) => (float[B, 2, S, 4] y) {
            k = MatMul(q, w)  y = Attention(q, k, k) }""",
        opset=23,
        w=np.eye(4),
    )
    q = np.random.default_rng(0).standard_normal((2, 2, 5, 4)).astype(f32)
    session = agrees(newer, {"q": q})
    assert {"MatMul", "Softmax"} <= {line.op for line in session.explain()}


@pytest.mark.parametrize(
    "before",
    [
        ["MatMul(x, w)"],
        ["Identity(x)"],
        ["MatMul(x, w)", "Identity(m0)"],
        ["MatMul(x, w)", "Relu(m0)"],
        ["Elu(x)"],
    ],
)
def test_inner_graphs_find_what_they_take_from_around_them(agrees: Any, before: list[str]) -> None:
    """Whatever passes put in its place."""
    nodes = []
    for number, call in enumerate(before):
        op, operands = call.rstrip(")").split("(")
        name = "m" if number == len(before) - 1 else f"m{number}"
        nodes.append(helper.make_node(op, operands.split(", "), [name]))
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["m"], [op])],
            op,
            [],
            [helper.make_tensor_value_info(op, TensorProto.FLOAT, None)],
        )
        for op in ("Neg", "Abs")
    ]
    nodes.append(helper.make_node("If", ["c"], ["y"], then_branch=inner[0], else_branch=inner[1]))
    nodes.append(helper.make_node("MatMul", ["x", "w"], ["z"]))
    graph = helper.make_graph(
        nodes,
        "branches",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in ("y", "z")],
        [numpy_helper.from_array(np.eye(4, dtype=f32) * 2, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(f32)
    for choice in (True, False):
        agrees(proto, {"x": x, "c": np.array(choice)}, native=False)


def test_a_shape_that_depends_on_data_is_left_to_onnx_runtime(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 4] x, float[K] m) => (float[N, 4] y, int64[1, L] z) {
            y = MatMul(x, w)  z = NonZero(m) }""",
        w=np.eye(4),
    )
    feeds = {"x": np.ones((2, 4), f32), "m": np.array([0, 1, 0, 2], f32)}
    session = agrees(small, feeds, native=False)
    assert session.run(["z"], feeds)[0].tolist() == [[1, 3]]


def test_text_passes_through(model: Any) -> None:
    small = model(
        """(float[N, 4] x, string[N] t) => (float[N, 4] y, string[N] z) {
            y = MatMul(x, w)  z = StringConcat(t, t) }""",
        opset=20,
        w=np.eye(4),
    )
    words = np.array(["a", "bc"], object)
    session = compile(small)
    assert session.run(["z"], {"x": np.ones((2, 4), f32), "t": words})[0].tolist() == ["aa", "bcbc"]


def test_other_types_are_left_to_onnx_runtime(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 4] x, float16[N] h) => (float[N, 4] y, float16[N] z) {
            y = MatMul(x, w)  z = Mul(h, h) }""",
        w=np.eye(4),
    )
    feeds = {"x": np.ones((2, 4), f32), "h": np.array([2, 3], np.float16)}
    lines = {line.op: line for line in agrees(small, feeds, native=False).explain()}
    assert lines["Mul"].reason == "no lowering for type float16"


def test_a_graph_is_cut_into_as_few_runs_as_its_order_allows(islands: Any, after: Any) -> None:
    graph = after(islands)
    for node in graph.nodes:
        node.native = node.op in ("MatMul", "Relu")
    runs = [[node.op for node in run] for run in schedule(graph)]
    assert runs == [
        ["MatMul"],
        ["ScatterElements", "ScatterND"],
        ["MatMul"],
        ["ReverseSequence", "ScatterND"],
        ["MatMul", "Relu"],
    ]


def test_a_cycle_is_refused(islands: Any, after: Any) -> None:
    graph = after(islands)
    graph.nodes[0].inputs[0] = graph.nodes[-1].output
    graph.nodes[-1].inputs[0] = graph.nodes[0].output
    with pytest.raises(ModelError, match="cycle"):
        schedule(graph)


def test_what_onnx_runtime_does_not_give_is_told_by_name(model: Any) -> None:
    """It leaves out what it does not compute for a mode that ONNX does not define."""
    broken = model(
        """(float[2, 3] x, float[3] s) => (float[2, 3] y, float[3] m, float[3] v) {
            y, m, v = BatchNormalization<training_mode = -1>(x, s, s, s, s) }""",
        opset=15,
    )
    feeds = {"x": np.ones((2, 3), f32), "s": np.ones(3, f32)}
    theirs = compile(broken, engine="auto").run(None, feeds)
    assert [result is None for result in theirs] == [False, True, True]
    with pytest.raises(ModelError, match="ONNX Runtime gives nothing for 'm'; compile the model"):
        compile(broken, engine="gossamer").run(None, feeds)


def test_sizes_that_onnx_runtime_states_wrongly_are_those_that_it_gives(
    model: Any, agrees: Any
) -> None:
    """It states 6 for 5 places times 1.4, which it computes in 64 bits, and gives 7."""
    resized = model(
        """(uint8[2, 5] x) => (uint8[2, 7] z) {
            y = Resize<mode="nearest">(x, , scales)  f = Cast<to=1>(y)  r = Relu(f)
            h = Hardmax(r)  c = Cast<to=2>(h)  z = BitwiseOr(y, c) }""",
        18,
        scales=np.array([1, 1.4]),
    )
    feeds = {"x": np.arange(10, dtype=np.uint8).reshape(2, 5)}
    session = agrees(resized, feeds, native=False)
    assert {line.op for line in session.explain() if line.reason} >= {"Resize", "BitwiseOr"}


def test_so_are_those_of_a_dilated_pooling_that_is_padded_as_needed(
    model: Any, agrees: Any
) -> None:
    """Which it pads as if the window were not dilated, but states the sizes of one that is."""
    pooled = model(
        """(float16[2, 4, 9, 8] x) => (float16[2, 4, 7, 7] y) {
            y = MaxPool<kernel_shape=[3, 2], dilations=[2, 2], auto_pad="SAME_LOWER">(x) }""",
        19,
    )
    x = np.random.default_rng(0).standard_normal((2, 4, 9, 8)).astype(np.float16)
    agrees(pooled, {"x": x}, native=False)
