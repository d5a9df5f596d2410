"""Models that ONNX Runtime runs whole: opened and run as the user's own session would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import DataError, ModelError, OptionError, UnsafeModelError
from gossamer.runtime import compile, ort, whole
from gossamer.runtime.whole import Source, WholeModel

f32 = np.float32
WEIGHT = np.random.default_rng(0).standard_normal((64, 32)).astype(f32)
X = np.ones((2, 64), f32)


@pytest.fixture
def layer(model: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = model(
        "(float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=WEIGHT
    )
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ONNX Runtime is given."""
    calls: list[dict[str, Any]] = []
    real = ort.session_class()

    def record(source: Any, options: Any, **named: Any) -> Any:
        calls.append({"source": source, "options": options, **named})
        return real(source, options, **named)

    monkeypatch.setattr(ort, "session_class", lambda: record)
    return calls


def test_a_path_stays_a_path_and_bytes_those_bytes(
    layer: onnx.ModelProto, tmp_path: Path, opened: list[dict[str, Any]]
) -> None:
    path, content = tmp_path / "m.onnx", layer.SerializeToString()
    path.write_bytes(content)
    for given in (path, str(path), content, layer):
        assert compile(given, engine="onnxruntime").run(None, {"x": X})[0].shape == (2, 32)
    assert [call["source"] for call in opened] == [str(path), str(path), content, content]


def test_threads_and_spinning_are_the_users(
    layer: onnx.ModelProto, opened: list[dict[str, Any]]
) -> None:
    compile(layer, engine="onnxruntime")
    compile(layer, engine="onnxruntime", threads=1)
    assert [call["options"].intra_op_num_threads for call in opened] == [0, 1]
    for call in opened:
        with pytest.raises(RuntimeError, match="does not have configuration"):
            call["options"].get_session_config_entry("session.intra_op.allow_spinning")


def test_given_weights_are_taken_where_they_lie(
    layer: onnx.ModelProto, opened: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that ONNX Runtime parses holds none of them."""
    layer.graph.initializer[0].ClearField("raw_data")
    session = compile(layer, weights=[("w", WEIGHT)], engine="onnxruntime")
    np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ WEIGHT, rtol=1e-4)
    assert len(opened[0]["source"]) < WEIGHT.nbytes


def test_a_message_larger_than_protocol_buffers_write_goes_in_parts(
    layer: onnx.ModelProto, opened: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_LARGEST_MESSAGE", 5_000)
    session = compile(layer, engine="onnxruntime")
    np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ WEIGHT, rtol=1e-4)
    assert len(opened[0]["source"]) < 5_000


def test_what_cannot_gain_is_left_before_its_weights_are_read(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "read", None)
    session = compile(model("(float[N] x) => (float[N] y) { a = Abs(x)  y = Sqrt(a) }"))
    assert session.engine == "onnxruntime"
    assert session.explain()[0].reason == "nothing in the model gains from sparsity"


def test_every_definition_of_onnx_that_holds_a_layer_may_gain() -> None:
    """Or models of such operators would be left to ONNX Runtime unread."""
    from gossamer.runtime.contest import forfeit_unread

    layers = {"MatMul", "Gemm", "Conv"}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.has_function and not schema.domain:
            inner = {node.op_type for node in schema.function_body.node}
            assert not inner & layers or not forfeit_unread({schema.name}), schema.name


def test_its_time_is_told_in_the_first_line(layer: onnx.ModelProto) -> None:
    session = compile(layer, engine="onnxruntime", threads=1)
    (line,) = session.explain({"x": X})
    assert line.seconds and line.share == 1


# What it is fed


@pytest.fixture
def session(layer: onnx.ModelProto) -> Any:
    return compile(layer, engine="onnxruntime", threads=1)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "input 'x' is missing"),
        ({"x": X, "z": X}, "no input 'z'; the inputs are x"),
        ({"x": X.astype(np.float64)}, r"'x' must be float32, not float64; convert it with"),
        ({"x": X[:, :3]}, r"must have the shape \[N, 64\], not \[2, 3\]; pad or reshape"),
        ({"x": X[0]}, "add or remove axes"),
        ({"x": [[1, 2], [3]]}, "input 'x' is no array; give rows of one length"),
    ],
)
def test_wrong_feeds_are_refused_as_in_generated_code(
    layer: onnx.ModelProto, session: Any, feeds: dict[str, Any], message: str
) -> None:
    for engine in (session, compile(layer, engine="gossamer", threads=1)):
        with pytest.raises(DataError, match=message) as error:
            engine.run(None, feeds)
        assert "\n" not in str(error.value)
        assert engine.run(["y"], {"x": X})[0].shape == (2, 32)


def test_an_unknown_output_is_refused(session: Any) -> None:
    with pytest.raises(OptionError, match="no output 'q'; the outputs are y"):
        session.run(["q"], {"x": X})


def test_the_options_of_a_run_are_passed_on(layer: onnx.ModelProto, session: Any) -> None:
    options = onnxruntime.RunOptions()
    assert session.run(None, {"x": X}, options)[0].shape == (2, 32)
    assert compile(layer, engine="gossamer").run(None, {"x": X}, options)[0].shape == (2, 32)
    options.terminate = True
    with pytest.raises(ModelError, match="ONNX Runtime could not run the model"):
        session.run(None, {"x": X}, options)


def test_text_is_taken_as_onnx_runtime_takes_it(model: Any) -> None:
    small = model(
        """(float[N, 4] x, string[N] t) => (float[N, 4] y, string[N] z) {
            y = MatMul(x, w)  z = StringConcat(t, t) }""",
        opset=20,
        w=np.eye(4),
    )
    for engine in ("auto", "gossamer", "onnxruntime"):
        compiled = compile(small, engine=engine)  # type: ignore[arg-type]
        for words in (np.array(["a", "bc"]), np.array(["a", "bc"], object)):
            found = compiled.run(["z"], {"x": np.ones((2, 4), f32), "t": words})[0]
            assert found.tolist() == ["aa", "bcbc"]


def test_sequences_are_lists(model: Any) -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, ["N", 64])
    graph = helper.make_graph(
        [
            helper.make_node("SequenceAt", ["s", "first"], ["x"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "at",
        [sequence],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 32])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.array(0), "first")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = compile(made).run(None, {"s": [X, 2 * X]})[0]
    np.testing.assert_allclose(found, X @ WEIGHT, rtol=1e-4)


# What no engine is given


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
def test_an_operand_without_a_name_is_refused_wherever_the_node_lies(
    model: Any, op: str, engine: Any
) -> None:
    """ONNX's checker lets it pass, and ONNX Runtime reads where nothing is."""
    small = model("(float[N] x) => (float[N] y) { y = Abs(x) }")
    small.graph.node[0].CopyFrom(helper.make_node(op, ["x", ""], ["y"]))
    with pytest.raises(UnsafeModelError, match=f"{op} 'y' has an input without a name"):
        compile(small, engine=engine)
    inner = helper.make_graph(
        [helper.make_node(op, ["x", ""], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    small.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    small.graph.node[0].CopyFrom(
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    )
    with pytest.raises(UnsafeModelError, match=f"{op} 'z' has an input without a name"):
        compile(small, engine=engine)


def test_a_session_is_refused_what_is_unsafe_whoever_opens_it(model: Any) -> None:
    small = model("(float[N] x) => (float[N] y) { y = Abs(x) }")
    small.graph.node[0].CopyFrom(helper.make_node("Max", ["x", ""], ["y"]))
    with pytest.raises(UnsafeModelError):
        ort.open_session(small, small)


def test_a_model_is_opened_once_it_is_needed(layer: onnx.ModelProto, opened: list[Any]) -> None:
    compiled = compile(layer, threads=1)
    compiled.run(None, {"x": X})
    assert not opened
    for _ in range(2):
        compiled.run(None, {"x": X[:0]})
    assert len(opened) == 1


def test_a_reason_is_told_of_every_node(layer: onnx.ModelProto) -> None:
    left = WholeModel(Source(layer), "a reason")
    assert (left.reason, left.nodes) == ("a reason", [("", "MatMul")])


@pytest.mark.parametrize("kind", ["path", "bytes", "model"])
@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
def test_a_last_input_that_is_left_out_by_name_is_left_out(
    model: Any, tmp_path: Path, engine: Any, kind: str
) -> None:
    """ONNX Runtime ends the process over it."""
    small = model(
        """(float[N, 64] x) => (float[N, 64] y, int64[1, M] z) {
            m = MatMul(x, w)  y = LayerNormalization<axis=-1>(m, scale)  z = NonZero(y) }""",
        w=np.eye(64),
        scale=np.ones(64),
    )
    small.graph.node[1].input.append("")
    path = tmp_path / "m.onnx"
    path.write_bytes(small.SerializeToString())
    given = {"path": path, "bytes": path.read_bytes(), "model": small}[kind]
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(f32)
    found = compile(given, engine=engine).run(["y"], {"x": x})[0]
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert list(small.graph.node[1].input) == ["m", "scale", ""]


def test_a_loop_names_all_of_its_outputs(model: Any) -> None:
    """ONNX Runtime writes where nothing is."""
    small = model("(float[N] x) => (float[N] y) { y = Abs(x) }")
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["k"]), helper.make_node("Abs", ["v"], ["u"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("k", TensorProto.BOOL, []),
            helper.make_tensor_value_info("u", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["count", "", "x"], [""], body=body)
    small.graph.node.append(loop)
    small.graph.initializer.append(numpy_helper.from_array(np.array(2), "count"))
    with pytest.raises(UnsafeModelError, match="Loop '' has an output without a name"):
        compile(small)


@pytest.mark.parametrize(
    ("opset", "node"),
    [
        (13, "z, y = Split<axis=0>(x)"),
        (18, "y, z = Split<axis=0, num_outputs=2>(x)"),
        (9, "y, z, a, b, c = BatchNormalization(x, x, x, x, x)"),
        (15, "y, z, a = BatchNormalization<training_mode=1>(x, x, x, x, x)"),
    ],
)
def test_operators_whose_outputs_are_all_written_name_them(
    model: Any, opset: int, node: str
) -> None:
    small = model(f"(float[2] x) => (float[a] y) {{ {node} }}", opset=opset)
    small.graph.node[0].output[list(small.graph.node[0].output).index("z")] = ""
    with pytest.raises(UnsafeModelError, match="has an output without a name"):
        compile(small)


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
def test_a_negative_number_of_batch_axes_is_refused(model: Any, engine: Any) -> None:
    """ONNX Runtime ends the process while it infers shapes."""
    small = model(
        """(float[2, 3] x, int64[2, 1] i) => (float[a] y) {
            y = GatherND<batch_dims=-2147483648>(x, i) }"""
    )
    with pytest.raises(UnsafeModelError, match="GatherND 'y' has the negative batch_dims -2147"):
        compile(small, engine=engine)


@pytest.mark.parametrize("engine", ["auto", "gossamer", "onnxruntime"])
@pytest.mark.parametrize(
    ("node", "match"),
    [
        ("y = Conv<group=0>(x, w)", "Conv 'y' has the group 0"),
        ("y = Conv(x, none)", "Conv 'y' has no elements of 'none'"),
        ("y = ConvTranspose(x, none)", "ConvTranspose 'y' has no elements of 'none'"),
    ],
)
def test_convolutions_with_nothing_are_refused(
    model: Any, node: str, match: str, engine: Any
) -> None:
    """ONNX Runtime divides by their groups, and goes on for good with a kernel of size 0."""
    small = model(
        f"(float[N, 2, 4, 4] x) => (float[A, B, C, D] y) {{ {node} }}",
        w=np.ones((2, 2, 3, 3)),
        none=np.ones((2, 2, 0, 3)),
    )
    with pytest.raises(UnsafeModelError, match=match):
        compile(small, engine=engine)
