"""Types and shapes of what has no rule: never from what a model notes of its inner values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim
from gossamer.runtime import compile, hints, onnx_import, ort
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Value
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.ports import Port, type_of

f32 = np.float32
FLOAT = TensorProto.FLOAT


def drawn(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


def made(nodes: Any, inputs: Any, outputs: Any, **constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def skip_norm(left: str, right: str, output: str) -> onnx.NodeProto:
    return helper.make_node(
        "SkipLayerNormalization", [left, right, "gamma", "beta"], [output], domain="com.microsoft"
    )


@pytest.fixture
def recurrent() -> onnx.ModelProto:
    """Noted for a batch of 1, as before a script opened its input."""
    small = made(
        [
            helper.make_node("LSTM", ["x", "w", "r"], ["h"], hidden_size=16),
            helper.make_node("Squeeze", ["h", "one"], ["q"]),
            helper.make_node("MatMul", ["q", "v"], ["y"]),
        ],
        {"x": [5, "batch", 8]},
        {"y": [None] * 3},
        w=drawn(1, 64, 8),
        r=drawn(1, 64, 16),
        one=np.array([1]),
        v=drawn(16, 12),
    )
    for name, shape in (("h", [5, 1, 1, 16]), ("q", [5, 1, 16])):
        small.graph.value_info.append(helper.make_tensor_value_info(name, FLOAT, shape))
    return small


def test_stale_notes_are_not_believed(recurrent: Any, agrees: Any) -> None:
    batch = Dim.symbol("batch")
    assert import_model(recurrent).nodes[0].output.shape == (5, 1, batch, 16)
    for count in (1, 3):
        session = agrees(recurrent, {"x": drawn(5, count, 8)}, native=False)
        session = compile(recurrent, engine="gossamer")
        assert [line.op for line in session.explain()].count("Linear") == 1
        session.run(None, {"x": drawn(5, count, 8)})


@pytest.mark.parametrize("cut", [(-1, -4, -1), (0, 3, 1), (1, -1, 1)])
def test_what_onnx_infers_where_there_is_a_rule_is_not_believed(agrees: Any, cut: Any) -> None:
    """It gives a Slice of operator set 10 the length of an open axis."""
    names = ("start", "end", "axis", "step")
    small = made(
        [
            helper.make_node("Slice", ["x", *names], ["cut"]),
            helper.make_node("Tanh", ["cut"], ["t"]),
            helper.make_node("QuickGelu", ["t"], ["q"], domain="com.microsoft"),
            helper.make_node("Exp", ["q"], ["y"]),
        ],
        {"x": ["N", 3]},
        {"y": [None, 3]},
        **{n: np.array([v]) for n, v in zip(names, (*cut[:2], 0, cut[2]), strict=True)},
    )
    small.opset_import[0].version = 10
    for count in (3, 5):
        agrees(small, {"x": drawn(count, 3)}, native=False)


@pytest.fixture
def islands() -> onnx.ModelProto:
    """Operators of ONNX Runtime's own, with layers between them."""
    return made(
        [
            helper.make_node("MatMul", ["x", "v"], ["h"]),
            skip_norm("h", "x", "n"),
            helper.make_node("MatMul", ["n", "v"], ["m"]),
            skip_norm("m", "n", "k"),
            helper.make_node("MatMul", ["k", "v"], ["y"]),
        ],
        {"x": ["b", "s", 16]},
        {"y": ["b", "s", 16]},
        v=drawn(16, 16),
        gamma=np.ones(16, f32),
        beta=drawn(16),
    )


def test_onnx_runtime_knows_what_its_own_operators_give(islands: Any, agrees: Any) -> None:
    session = agrees(islands, {"x": drawn(2, 5, 16)}, native=False)
    session = compile(islands, engine="gossamer")
    assert [line.op for line in session.explain()].count("Linear") == 3
    agrees(islands, {"x": drawn(1, 9, 16)}, native=False)


def strict(model: Any, feeds: Any, reference: Any) -> list[FallbackRegion]:
    session = compile(model, engine="gossamer")
    for ours, theirs in zip(session.run(None, feeds), reference(model, feeds), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert session._generated is not None
    return [step for step in session._generated.program.steps if isinstance(step, FallbackRegion)]


def test_regions_connect_by_what_the_one_before_says(
    reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is known of a value, and a layer that does not take it lies between."""
    right = onnx_import.hints

    def fewer(*given: Any) -> dict[str, Value]:
        return {name: v for name, v in right(*given).items() if name not in ("n", "parts")}

    monkeypatch.setattr(onnx_import, "hints", fewer)
    small = made(
        [
            skip_norm("x", "x", "n"),
            helper.make_node("SplitToSequence", ["n"], ["parts"], axis=1),
            helper.make_node("ReverseSequence", ["x", "lengths"], ["r"], batch_axis=0, time_axis=1),
            helper.make_node("MatMul", ["r", "v"], ["m"]),
            helper.make_node("Neg", ["m"], ["k"]),
            skip_norm("k", "n", "z"),
            helper.make_node("SequenceInsert", ["parts", "k"], ["longer"]),
            helper.make_node("ConcatFromSequence", ["longer"], ["y"], axis=1),
        ],
        {"x": [3, "s", 16]},
        {"y": [None] * 3, "z": [None] * 3},
        v=drawn(16, 16),
        gamma=np.ones(16, f32),
        beta=drawn(16),
        lengths=np.array([1, 2, 3]),
    )
    regions = strict(small, {"x": drawn(3, 4, 16)}, reference)
    assert len(regions) == 2
    assert {"parts", "n"} < {value.name for value in regions[1].inputs}


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.float64, ("b", "s", 16)), (f32, (16,)), (f32, ("b", "s", 17))]
)
def test_what_onnx_runtime_contradicts_is_refused(
    islands: Any, monkeypatch: pytest.MonkeyPatch, dtype: Any, shape: Any
) -> None:
    sizes = tuple(Dim.symbol(size) if isinstance(size, str) else size for size in shape)
    wrong = {"k": Value("k", np.dtype(dtype), sizes)}
    right = onnx_import.hints
    monkeypatch.setattr(onnx_import, "hints", lambda *given: right(*given) | wrong)
    del islands.graph.node[-1]
    islands.graph.node.append(helper.make_node("Neg", ["k"], ["y"]))
    with pytest.raises(ModelError, match="ONNX Runtime gives 'k' as float32"):
        compile(islands, engine="gossamer")


def test_a_model_that_onnx_runtime_refuses_has_no_hints(islands: Any) -> None:
    islands.graph.node[1].op_type = "NoSuchOperator"
    assert not import_model(islands).nodes[1].output.known


def test_what_has_rules_is_asked_nowhere(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_bare", None)
    monkeypatch.setattr(ort, "open_session", None)
    import_model(model("(float[N] x) => (float[N] y) { y = Neg(x) }"))


@pytest.mark.parametrize(
    "words",
    [
        *("tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)", "tensor(bool)"),
        *("tensor(string)", "tensor(uint8)", "seq(tensor(int64))", "sparse_tensor(float)"),
        *("map(int64,tensor(float))", "seq(map(string,tensor(float)))", "optional(tensor(int32))"),
    ],
)
def test_types_from_words(words: str) -> None:
    from gossamer.runtime.ports import _type

    assert _type(type_of(Port("x", [], words))) == words


def test_no_sizes_may_be_any_shape() -> None:
    assert not type_of(Port("x", [], "tensor(float)")).tensor_type.HasField("shape")
    assert len(type_of(Port("x", [2, "n"], "tensor(float)")).tensor_type.shape.dim) == 2
