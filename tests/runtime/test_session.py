"""The session: what it takes, what it gives, what it refuses, and how it explains itself."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gossamer.errors import DataError, GossamerError, ModelError, OptionError
from gossamer.runtime import Session, compile
from gossamer.runtime.codegen.target import target

f32 = np.float32


@pytest.fixture
def sentence(model: Any, random: np.random.Generator) -> onnx.ModelProto:
    """Embeddings of token ids and positions, a linear layer, and the mean over a mask."""
    embedded: onnx.ModelProto = model(
        """(int64[batch, length] ids, float[batch, length] weight)
           => (float[batch, length, 6] hidden, float[batch, 1, 6] pooled) {
            taken = Gather(table, ids)
            shape = Shape(ids)
            count = Gather(shape, one)
            before = Slice(positions, zero, count, zero)
            embedded = Add(taken, before)
            hidden = MatMul(embedded, matrix)
            row = Unsqueeze(weight, one)
            pooled = MatMul(row, hidden)
        }""",
        table=random.standard_normal((11, 8)),
        positions=random.standard_normal((20, 8)),
        matrix=random.standard_normal((8, 6)),
        one=np.array([1]),
        zero=np.array([0]),
    )
    return embedded


def feeds(batch: int = 2, length: int = 5) -> dict[str, Any]:
    random = np.random.default_rng(batch + length)
    return {
        "ids": random.integers(0, 11, (batch, length)),
        "weight": random.random((batch, length), f32),
    }


@pytest.fixture
def session(sentence: onnx.ModelProto) -> Session:
    return compile(sentence, threads=2)


def test_ports_are_described_as_onnx_runtime_does(session: Session) -> None:
    ids, weight = session.get_inputs()
    assert (ids.name, ids.shape, ids.type) == ("ids", ["batch", "length"], "tensor(int64)")
    assert (weight.name, weight.type) == ("weight", "tensor(float)")
    hidden, pooled = session.get_outputs()
    assert (hidden.name, hidden.shape) == ("hidden", ["batch", "length", 6])
    assert (pooled.name, pooled.shape, pooled.type) == ("pooled", ["batch", 1, 6], "tensor(float)")


def test_outputs_come_in_the_order_asked_for(session: Session) -> None:
    hidden, pooled = session.run(None, feeds())
    again = session.run(["pooled", "hidden", "pooled"], feeds())
    for one, other in zip((pooled, hidden, pooled), again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_outputs_are_the_callers_to_keep(session: Session) -> None:
    hidden, _ = session.run(None, feeds())
    kept = hidden.copy()
    session.run(None, feeds(2, 5) | {"ids": np.zeros((2, 5), np.int64)})
    np.testing.assert_array_equal(hidden, kept)
    hidden[:] = 0
    np.testing.assert_array_equal(session.run(["hidden"], feeds())[0], kept)


def test_inputs_need_not_be_contiguous(session: Session) -> None:
    given = feeds()
    turned = {name: np.asfortranarray(array) for name, array in given.items()}
    for one, other in zip(session.run(None, given), session.run(None, turned), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_path_and_bytes_are_models_too(
    sentence: onnx.ModelProto, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(sentence, path)
    expected = session.run(["hidden"], feeds())[0]
    for given in (path, str(path), sentence.SerializeToString()):
        np.testing.assert_array_equal(compile(given).run(["hidden"], feeds())[0], expected)


def test_external_data_beside_the_model_is_read(
    sentence: onnx.ModelProto, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(sentence, path, save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(
        compile(path).run(["hidden"], feeds())[0], session.run(["hidden"], feeds())[0]
    )


# Refused inputs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": None}, "input 'ids' is missing"),
        ({"other": np.zeros(1)}, "no input 'other'; the inputs are ids, weight"),
        ({"ids": np.zeros((2, 5), np.int32)}, "'ids' must be int64, not int32"),
        ({"ids": np.zeros(5, np.int64)}, r"shape \[batch, length\], not \[5\]; add or remove"),
        ({"weight": np.zeros((2, 4), f32)}, "length is 5 elsewhere"),
        ({"weight": np.zeros((3, 5), f32)}, "batch is 2 elsewhere"),
        ({"ids": np.zeros((0, 5), np.int64)}, "at least one along each axis"),
        ({"ids": np.full((2, 5), 11)}, "index in the inputs lies outside"),
        ({"ids": np.full((2, 5), -12)}, "index in the inputs lies outside"),
        ({"ids": np.full((2, 5), 2**62)}, "index in the inputs lies outside"),
    ],
)
def test_wrong_inputs_are_refused_and_the_session_goes_on(
    session: Session, change: dict[str, Any], message: str
) -> None:
    before = session.run(None, feeds())
    wrong = {k: v for k, v in (feeds() | change).items() if v is not None}
    with pytest.raises(DataError, match=message) as refused:
        session.run(None, wrong)
    assert "\n" not in str(refused.value)
    for one, other in zip(before, session.run(None, feeds()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sequence_longer_than_the_table_of_positions_is_refused(session: Session) -> None:
    assert session.run(None, feeds(1, 20))[0].shape == (1, 20, 6)
    with pytest.raises(DataError, match="length is 21; the compiled model takes at most 20"):
        session.run(None, feeds(1, 21))


def test_negative_indices_count_from_the_end(session: Session) -> None:
    from_start = session.run(None, feeds() | {"ids": np.full((2, 5), 10)})
    from_end = session.run(None, feeds() | {"ids": np.full((2, 5), -1)})
    np.testing.assert_array_equal(from_start[0], from_end[0])


def test_a_size_that_the_model_fixes_is_checked(model: Any) -> None:
    session = compile(model("(float[N, 4] x) => (float[N, 2] y) { y = MatMul(x, w) }", w=np.eye(4)))
    with pytest.raises(DataError, match=r"\[N, 4\], not \[2, 3\]"):
        session.run(None, {"x": np.zeros((2, 3), f32)})


def test_an_unknown_output_is_refused(session: Session) -> None:
    with pytest.raises(OptionError, match="no output 'other'; the outputs are hidden, pooled"):
        session.run(["other"], feeds())


# Refused models


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file .*none\.onnx"):
        compile(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="there is no file"):
        compile(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 10])
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for given in (path, content):
        with pytest.raises(ModelError) as refused:
            compile(given)
        assert "\n" not in str(refused.value)


def test_a_truncated_file_is_refused(sentence: onnx.ModelProto, tmp_path: Path) -> None:
    whole = sentence.SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"model\.onnx is not valid ONNX"):
            compile(path)


def test_a_missing_initializer_is_refused(sentence: onnx.ModelProto) -> None:
    del sentence.graph.initializer[2]
    with pytest.raises(ModelError, match="matrix"):
        compile(sentence)


def test_external_data_outside_the_folder_is_refused(
    sentence: onnx.ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    inner = tmp_path / "inner"
    inner.mkdir()
    onnx.save(
        sentence, inner / "m.onnx", save_as_external_data=True, size_threshold=0, location="d"
    )
    stored = onnx.load(inner / "m.onnx", load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (inner / "m.onnx").write_bytes(stored.SerializeToString())
    with pytest.raises(ModelError):
        compile(inner / "m.onnx")


def test_a_cycle_is_refused() -> None:
    nodes = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["a"])]
    graph = helper.make_graph(
        nodes, "cycle", [], [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])]
    )
    with pytest.raises(ModelError):
        compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        # What would make generated code read outside its arrays.
        (
            "(float[N,4,6,6] x) => (float[N,8,4,4] y) { y = Conv(x, w) }",
            {"w": np.ones((8, 64, 3, 3))},
        ),
        (
            "(float[N,4,6,6] x) => (float[N,8,4,4] y) { y = Conv(x, w, b) }",
            {"w": np.ones((8, 4, 3, 3)), "b": np.ones(3)},
        ),
        (
            "(float[N,4,6,6] x) => (float[N,8,4,4] y) { y = Conv<group=3>(x, w) }",
            {"w": np.ones((8, 2, 3, 3))},
        ),
        ("(float[N,4,6,6] x) => (float[N,8] y) { y = MatMul(x, w) }", {"w": np.ones((7, 8))}),
        (
            "(float[N,4] x) => (float[N,8] y) { y = Gemm(x, w, b) }",
            {"w": np.ones((4, 8)), "b": np.ones((2, 5))},
        ),
        (
            """(float[N,4] x, int64[3,4] i) => (float[N,4] y, float[3,4] z) {
                y = MatMul(x, w)  z = GatherElements<axis=1>(t, i) }""",
            {"w": np.eye(4), "t": np.ones((2, 4))},
        ),
        # What would trip the rules for shapes.
        ("(float[N,4] x, float[N] v) => (float[N,4] z) { z = Gemm(v, w) }", {"w": np.eye(4)}),
        (
            "(float[N,4] x) => (float[N,4] y, int64[3] z) { y = MatMul(x, w)  z = Add(a, b) }",
            {"w": np.eye(4), "a": np.arange(2), "b": np.arange(3)},
        ),
        (
            "(float[N,4] x) => (float[N,4] y) { a = Transpose<perm=[0,5]>(x)  y = MatMul(a, w) }",
            {"w": np.eye(4)},
        ),
        (
            "(float[N,4] x) => (float[N,4] y) { a = Concat<axis=7>(x, x)  y = MatMul(a, w) }",
            {"w": np.eye(4)},
        ),
        (
            "(float[N,4] x) => (float[N,4] y) { a = Gather<axis=3>(x, i)  y = MatMul(a, w) }",
            {"w": np.eye(4), "i": np.arange(2)},
        ),
    ],
)
def test_a_model_whose_shapes_do_not_fit_is_an_error_not_a_crash(
    model: Any, text: str, constants: dict[str, Any]
) -> None:
    broken = model(text, **constants)
    with pytest.raises(GossamerError):
        session = compile(broken)
        given = {}
        for port in session.get_inputs():
            shape = [size if isinstance(size, int) else 2 for size in port.shape]
            given[port.name] = np.zeros(shape, f32 if port.type == "tensor(float)" else np.int64)
        session.run(None, given)


# Options


@pytest.mark.parametrize("threads", [0, -1])
def test_there_is_at_least_one_thread(sentence: onnx.ModelProto, threads: int) -> None:
    with pytest.raises(OptionError, match=f"threads is {threads}; give a whole number from 1 up"):
        compile(sentence, threads=threads)


def test_an_unknown_target_is_refused(sentence: onnx.ModelProto) -> None:
    with pytest.raises(OptionError, match="no target named 'pdp11'; the targets are"):
        compile(sentence, target="pdp11")


def test_a_target_that_this_processor_is_not_is_refused(sentence: onnx.ModelProto) -> None:
    other = next(name for name in ("aarch64+i8mm", "x86-64-v4") if not target(name).runs_here)
    with pytest.raises(OptionError, match="is for another processor; use 'host' here"):
        compile(sentence, target=other)


def test_a_thread_for_each_core_by_default(
    sentence: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossamer.machine.default_threads", lambda: 3)
    session = compile(sentence)
    assert session.threads == 3
    assert session.run(None, feeds())[0].shape == (2, 5, 6)


@pytest.mark.parametrize(
    ("asked", "has_quota", "given"),
    [(None, False, 0), (None, True, 3), (2, True, 2), (99, False, 64)],
)
def test_what_is_left_whole_has_its_own_threads_unless_asked_or_bounded(
    sentence: onnx.ModelProto,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    has_quota: bool,
    given: int,
) -> None:
    monkeypatch.setattr("gossamer.machine.default_threads", lambda: 3)
    monkeypatch.setattr("gossamer.machine.has_quota", lambda: has_quota)
    session = compile(sentence, threads=asked, engine="onnxruntime")
    # ONNX Runtime has 0 for its own choice.
    assert session.in_onnxruntime().get_session_options().intra_op_num_threads == given


# Life


def test_a_closed_session_starts_again(session: Session) -> None:
    expected = session.run(None, feeds())[0]
    with session:
        np.testing.assert_array_equal(session.run(None, feeds())[0], expected)
    session.close()
    np.testing.assert_array_equal(session.run(None, feeds())[0], expected)


def test_many_threads_may_call_one_session(session: Session) -> None:
    shapes = [(batch, length) for batch in (1, 2, 3) for length in (2, 9, 17)]
    expected = {shape: session.run(None, feeds(*shape)) for shape in shapes}
    wrong: list[Any] = []

    def call(start: int) -> None:
        for shape in (shapes[start:] + shapes[:start]) * 5:
            for one, other in zip(session.run(None, feeds(*shape)), expected[shape], strict=True):
                if not np.array_equal(one, other):
                    wrong.append(shape)

    callers = [threading.Thread(target=call, args=(start,)) for start in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert not wrong


def test_sessions_do_not_disturb_each_other(sentence: onnx.ModelProto) -> None:
    sessions = [compile(sentence, threads=threads) for threads in (1, 2, 3)]
    expected = sessions[0].run(None, feeds())[0]
    for _ in range(3):
        for session in sessions:
            np.testing.assert_array_equal(session.run(None, feeds())[0], expected)


# Explanations


def test_each_node_is_explained(session: Session) -> None:
    lines = {line.op: line for line in session.explain()}
    assert lines["Linear"].kernel == "dense linear"
    assert lines["Linear"].sparsity == 0
    assert lines["MatMul"].kernel == "dense product"


def test_a_node_that_is_left_says_why(model: Any) -> None:
    small = model(
        """(float[N, 4] x) => (float[4, 4] y) {
            a = MatMul(x, w)  y = Einsum<equation="ni,nj->ij">(a, a) }""",
        w=np.eye(4),
    )
    (left,) = [line for line in compile(small).explain() if line.kernel == "ONNX Runtime"]
    assert (left.op, left.reason) == ("Einsum", "no lowering for ai.onnx Einsum")


def test_explained_on_inputs_the_shares_of_all_steps_add_up_to_one(session: Session) -> None:
    lines = [line for line in session.explain(feeds()) if line.kernel != "view"]
    assert all(line.seconds and line.share for line in lines)
    assert sum(line.share or 0 for line in lines) == pytest.approx(1)
    first, second = lines[:2]
    assert first.seconds and second.seconds and first.share and second.share
    assert first.share / second.share == pytest.approx(first.seconds / second.seconds)


def test_explained_without_inputs_nothing_is_timed(session: Session) -> None:
    assert all(line.seconds is None and line.share is None for line in session.explain())


def test_inputs_to_explain_on_must_fit(session: Session) -> None:
    with pytest.raises(DataError, match="is missing"):
        session.explain({})


def test_a_model_without_layers_is_left_to_onnx_runtime(model: Any) -> None:
    session = compile(model("(float[N] x) => (float[N] y) { a = Abs(x)  y = Sqrt(a) }"))
    assert {line.kernel for line in session.explain()} == {"ONNX Runtime"}
    assert all("nothing in the model gains" in line.reason for line in session.explain())
    np.testing.assert_allclose(session.run(None, {"x": np.array([-4, 9], f32)})[0], [2, 3])


def test_what_is_left_to_onnx_runtime_is_left_as_it_was(model: Any, agrees: Any) -> None:
    """GELU as one operator is newer than the operator set that spells it out."""
    spelled = model(
        """(float[N] x) => (float[N] y) {
            a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half) }""",
        opset=13,
        root=np.array(np.sqrt(2)),
        one=np.array(1.0),
        half=np.array(0.5),
    )
    x = np.linspace(-4, 4, 20, dtype=f32)
    session = agrees(spelled, {"x": x}, native=False, engine="auto")
    assert [line.op for line in session.explain()] == ["Div", "Erf", "Add", "Mul", "Mul"]


def test_without_onnx_runtime_the_missing_operator_and_the_extra_are_named(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"NonZero: no lowering.*install gossamer\[ort\]"):
        compile(model("(float[N] x) => (int64[1, M] y) { y = NonZero(x) }"))


def test_without_onnx_runtime_a_model_of_kernels_runs(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    session = compile(model("(float[N] x) => (float[N] y) { a = Abs(x)  y = Sqrt(a) }"))
    np.testing.assert_allclose(session.run(None, {"x": np.array([-4, 9], f32)})[0], [2, 3])


@pytest.mark.parametrize("sparsity", [0, 0.9])
@pytest.mark.parametrize("text", ["y = Add(m, p)", "n = Relu(m)  y = Add(n, p)"])
def test_a_constant_as_large_as_the_output_is_added(
    model: Any, agrees: Any, random: np.random.Generator, sparsity: float, text: str
) -> None:
    """Such as positions, at a fixed batch."""
    weight = random.standard_normal((8, 12)) * (random.random((8, 12)) >= sparsity)
    small = model(
        f"(float[1, 20, 8] x) => (float[1, 20, 12] y) {{ m = MatMul(x, w)  {text} }}",
        w=weight,
        p=random.standard_normal((1, 20, 12)),
    )
    agrees(small, {"x": random.standard_normal((1, 20, 8)).astype(f32)}, threads=2)


def test_two_names_of_one_value_are_two_arrays(model: Any) -> None:
    small = model(
        "(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) { y = MatMul(x, w)  z = Identity(y) }",
        w=np.eye(4),
    )
    y, z = compile(small, engine="gossamer").run(None, {"x": np.ones((2, 4), f32)})
    y[...] = 0
    assert (z == 1).all()
