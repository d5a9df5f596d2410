"""Nodes that end ONNX Runtime's process, or never end, where there are no elements to run on."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, parser

from gossamer.errors import DataError, ModelError, UnsafeModelError
from gossamer.runtime import compile, emptiness

f32 = np.float32


# What feeds say


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
@pytest.mark.parametrize(
    "node",
    [
        "y, h = GRU<hidden_size=2>(x, w, w)",
        "z = Abs(x) y, h = GRU<hidden_size=2>(z, w, w)",
        "y, h = LSTM<hidden_size=2>(x, v, v)",
    ],
)
def test_recurrent_layers_run_on_no_empty_batch(model: Any, node: str, engine: Any) -> None:
    """It ends ONNX Runtime's process."""
    small = model(
        f"(float[S, N, 2] x) => (float[A, B, C, D] y) {{ {node} }}",
        w=np.ones((1, 6, 2)),
        v=np.ones((1, 8, 2)),
    )
    session = compile(small, engine=engine)
    assert session.run(None, {"x": np.ones((3, 1, 2), f32)})[0].shape == (3, 1, 1, 2)
    with pytest.raises(DataError, match=r"input 'x' of shape \[3, 0, 2\]: .* 'y' has no elements"):
        session.run(None, {"x": np.ones((3, 0, 2), f32)})


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
@pytest.mark.parametrize("axis", [1, -2])
def test_what_has_no_elements_is_not_compared(model: Any, axis: int, engine: Any) -> None:
    """It ends ONNX Runtime's process, but where there is nothing to compare."""
    small = model(f"(float[N, M, K] x) => (float[A, B, C] y) {{ y = Unique<axis={axis}>(x) }}")
    session = compile(small, engine=engine)
    for shape, wanted in (((2, 3, 4), (2, 1, 4)), ((2, 0, 4), (2, 0, 4)), ((0, 3, 4), (0, 1, 4))):
        assert session.run(None, {"x": np.ones(shape, f32)})[0].shape == wanted
    with pytest.raises(DataError, match=r"input 'x' of shape \[2, 3, 0\]: Unique 'y' has no elem"):
        session.run(None, {"x": np.ones((2, 3, 0), f32)})


@pytest.mark.parametrize("node", ["Unique(x)", "Unique<axis=-1>(x)"])
def test_single_elements_and_the_last_axis_may_be_compared_where_there_are_none(
    model: Any, node: str
) -> None:
    small = model(f"(float[N, M] x) => (float[A] y) {{ y = {node} }}")
    assert compile(small).run(None, {"x": np.ones((2, 0), f32)})[0].size == 0


@pytest.mark.parametrize("shape", ["2, 0, 5", "N, 0, 5"])
def test_what_is_stated_to_be_empty_is_refused_before_it_runs(model: Any, shape: str) -> None:
    channels = "0, 1, 3"
    small = model(
        f"""(float[{shape}] x, float[{channels}] w) => (float[A, B, C] y, float[D, E, F] s) {{
            y, s = CausalConvWithState(x, w) }}""",
        opset=27,
    )
    with pytest.raises(UnsafeModelError, match="CausalConvWithState 'y' has no elements of 'w'"):
        compile(small)


def test_an_empty_batch_of_images_runs(model: Any) -> None:
    small = model(
        "(float[N, 2, 4, 4] x) => (float[A, B, C, D] y) { y = Conv(x, w) }",
        w=np.ones((3, 2, 3, 3)),
    )
    assert compile(small).run(None, {"x": np.ones((0, 2, 4, 4), f32)})[0].shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    ("node", "sizes"),
    [
        ("y, h = GRU<hidden_size=2>(x, w, w)", (0, 1, 2)),
        ("y = InstanceNormalization(x, s, s)", (1, 2, 0)),
        ("y = ConvTranspose(x, k)", (1, 2, 0)),
    ],
)
def test_no_axis_that_they_run_along_is_empty(
    model: Any, node: str, sizes: tuple[int, ...]
) -> None:
    small = model(
        f"(float[A, B, C] x) => (float y) {{ {node} }}",
        w=np.ones((1, 6, 2)),
        s=np.ones(2),
        k=np.ones((2, 1, 3)),
    )
    small.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(DataError, match="'y' has no elements of 'x' to run on"):
        compile(small).run(None, {"x": np.ones(sizes, f32)})


# What nodes take away


CUTS = [
    ("GRU", "y, h = GRU<hidden_size=2>(z, w, w)", 0),
    ("LSTM", "y, h = LSTM<hidden_size=2>(z, v, v)", 1),
    ("Unique", "y = Unique<axis=0>(z)", 2),
    ("InstanceNormalization", "y = InstanceNormalization(z, s, s)", 2),
    ("ConvTranspose", "y = ConvTranspose(z, k)", 2),
    ("Conv", "y = Conv(x, z)", 2),
]
CONSTANTS = {
    "w": np.ones((1, 6, 2)),
    "v": np.ones((1, 8, 2)),
    "s": np.ones(2),
    "k": np.ones((2, 1, 3)),
}
X = np.arange(12, dtype=f32).reshape(3, 2, 2)


def cut(model: Any, node: str, axis: int, opset: int = 17) -> onnx.ModelProto:
    """A node on the first `n` along an axis of `x`, where a run says `n`."""
    slicing = f"a = Constant<value_ints=[{axis}]>() z = Slice(x, o, n, a)"
    small = model(
        f"(float[A, B, C] x, int64[1] n) => (float y) {{ {slicing} {node} }}",
        opset,
        o=np.array([0]),
        **CONSTANTS,
    )
    small.graph.output[0].type.tensor_type.ClearField("shape")
    return small


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
@pytest.mark.parametrize(("op", "node", "axis"), CUTS)
def test_what_the_model_itself_leaves_empty_is_refused(
    model: Any, reference: Any, op: str, node: str, axis: int, engine: Any
) -> None:
    small = cut(model, node, axis)
    session = compile(small, engine=engine)
    expected = reference(small, {"x": X, "n": np.array([2])})
    np.testing.assert_array_equal(session.run(None, {"x": X, "n": np.array([2])})[0], expected[0])
    with pytest.raises(ModelError, match=f"^{op} 'y' has no elements of 'z' to run on, of which"):
        session.run(None, {"x": X, "n": np.array([0])})


@pytest.mark.parametrize("opset", [7, 9, 10, 12, 13, 24])
def test_it_is_refused_in_every_operator_set(model: Any, opset: int) -> None:
    small = model(
        """(float[A, B, C] x, int64[1] n) => (float y) {
            r = Concat<axis=0>(once, n) z = Tile(x, r) y, h = GRU<hidden_size=2>(z, w, w) }""",
        opset,
        once=np.array([1, 1]),
        **CONSTANTS,
    )
    small.graph.output[0].type.tensor_type.ClearField("shape")
    session = compile(small, engine="onnxruntime")
    assert session.run(None, {"x": X, "n": np.array([1])})[0].shape == (3, 1, 2, 2)
    with pytest.raises(ModelError, match="GRU 'y' has no elements of 'z'"):
        session.run(None, {"x": X, "n": np.array([0])})


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_it_is_refused_only_where_there_is_nothing_to_run_on(model: Any, engine: Any) -> None:
    """An LSTM gives nothing for no steps, and what is unique along an empty axis is nothing."""
    for node, axis, wanted in (
        ("y, h = LSTM<hidden_size=2>(z, v, v)", 0, (0, 1, 2, 2)),
        ("y = Unique<axis=1>(z)", 0, (0, 1, 2)),
        ("y = Unique<axis=1>(z)", 1, (3, 0, 2)),
    ):
        session = compile(cut(model, node, axis), engine=engine)
        assert session.run(None, {"x": X, "n": np.array([0])})[0].shape == wanted


def test_inner_graphs_and_functions_refuse_it_too(model: Any) -> None:
    inner = parser.parse_graph(
        """inner () => (float[A, B, C, D] u) {
            z = Slice(x, o, n, o) u, h = GRU<hidden_size=2>(z, w, w) }"""
    )
    branching = model(
        "(float[A, B, C] x, int64[1] n, bool c) => (float[P, Q, R, S] y) { y = Identity(x) }",
        o=np.array([0]),
        **CONSTANTS,
    )
    branches = {"then_branch": inner, "else_branch": inner}
    branching.graph.node[0].CopyFrom(helper.make_node("If", ["c"], ["y"], **branches))
    calling = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        small (float[A, B, C] x, int64[1] n, bool c) => (float[P, Q, R, S] y) {
            y = local.layer(x, o, n, w) }
        <domain: "local", opset_import: ["" : 17]>
        layer (x, o, n, w) => (u) { z = Slice(x, o, n, o) u, h = GRU<hidden_size=2>(z, w, w) }"""
    )
    calling.graph.initializer.extend(branching.graph.initializer)
    for small in (branching, calling):
        session = compile(small)
        feeds = {"x": X, "n": np.array([0]), "c": np.array(True)}
        assert session.run(None, feeds | {"n": np.array([2])})[0].shape == (2, 1, 2, 2)
        with pytest.raises(ModelError, match=r"GRU 'u.*' has no elements of 'z.*' to run on"):
            session.run(None, feeds)


def test_constants_without_elements_are_computed_by_nobody(model: Any) -> None:
    small = model(
        """(float[N] x) => (float[N] y, float[A, B, C, D] g) {
            y = Abs(x) z = Slice(t, o, o) g, h = GRU<hidden_size=2>(z, w, w) }""",
        o=np.array([0]),
        t=np.ones((2, 1, 2)),
        **CONSTANTS,
    )
    for engine in ("auto", "gossamer", "onnxruntime"):
        with pytest.raises(ModelError, match="GRU 'g' has no elements of 'z' to run on"):
            compile(small, engine=engine).run(None, {"x": np.ones(2, f32)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "nodes",
    [
        "z = Gather(table, i)",
        "p = Pad<mode='reflect'>(x, pads) z = Conv(p, k)",
        "p = Resize(x, , scales) z = Relu(p)",
        "t = Constant<value=float[1, 1, 2] {1.0, 2.0}>() z = Add(x, t)",
    ],
)
def test_a_model_whose_nodes_take_nothing_away_stays_as_it_is(model: Any, nodes: str) -> None:
    """What its inputs have is asked of the feeds."""
    small = model(
        f"""(float[A, B, C] x, int64[A, B] i) => (float[P, Q, R, S] y) {{
            {nodes.replace("'", '"')} y, h = GRU<hidden_size=2>(z, w, w) }}""",
        table=np.ones((3, 2)),
        pads=np.array([0, 0, 1, 0, 0, 1]),
        scales=np.ones(3),
        **CONSTANTS,
    )
    assert not emptiness.needs_guards(small)
    assert [need.value for need in emptiness.fed(small)] == ["i" if "Gather" in nodes else "x"]


@pytest.mark.parametrize(
    "nodes",
    [
        "z = Compress<axis=0>(x, c)",
        "z = Pad(x, pads)",
        "z = Pad(x, n)",
        "z = Resize(x, , scales)",
        "z = Add(x, none)",
        "z = MaxPool<kernel_shape=[2]>(x)",
    ],
)
def test_a_model_whose_nodes_may_take_everything_away_is_guarded(model: Any, nodes: str) -> None:
    small = model(
        f"""(float[A, B, C] x, bool[A] c, int64[6] n) => (float[P, Q, R, S] y) {{
            {nodes} y, h = GRU<hidden_size=2>(z, w, w) }}""",
        pads=np.array([0, 0, -1, 0, 0, 0]),
        scales=np.array([1, 1, 0.3], f32),
        none=np.ones((0, 1, 2)),
        **CONSTANTS,
    )
    assert emptiness.needs_guards(small)
