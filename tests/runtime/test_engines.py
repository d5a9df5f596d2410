"""Who runs a model: `auto` leaves to ONNX Runtime what generated code cannot do, `gossamer` says
why it cannot."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import DataError, ModelError
from gossamer.runtime import compile, compiler, lowering

f32 = np.float32
STAGES = [
    (compiler, "import_model"),
    (compiler.passes, "optimize"),
    (compiler, "partition"),
    (compiler, "assign_layouts"),
    (lowering, "lower"),
    (compiler, "Program"),
]


@pytest.fixture
def layer(model: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = model(
        "(float[N, 4] x) => (float[N, 4] y) { m = MatMul(x, w)  y = Relu(m) }", w=np.eye(4)
    )
    return made


@pytest.fixture
def limited(model: Any) -> onnx.ModelProto:
    """At most six positions, or the table is too short: then ONNX Runtime gives what is there."""
    made: onnx.ModelProto = model(
        """(float[N, T] x, float[T, 4] z) => (float[M, 4] p, float[T, 4] y) {
            s = Shape(x)  t = Gather(s, one)  p = Slice(table, zero, t, zero)
            y = MatMul(z, w) }""",
        table=np.arange(24).reshape(6, 4).astype(f32),
        w=np.eye(4),
        one=np.array([1]),
        zero=np.array([0]),
    )
    return made


def break_stage(monkeypatch: pytest.MonkeyPatch, stage: tuple[Any, str]) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(*stage, broken)


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_generating_code_raises_the_model_runs_and_says_why(
    layer: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, stage: tuple[Any, str]
) -> None:
    break_stage(monkeypatch, stage)
    compiled = compile(layer, threads=1)
    assert compiled.engine == "onnxruntime"
    assert [line.op for line in compiled.explain()] == ["MatMul", "Relu"]
    assert all("KeyError: 'nobody thought of this'" in line.reason for line in compiled.explain())
    np.testing.assert_array_equal(compiled.run(None, {"x": np.eye(4, dtype=f32)})[0], np.eye(4))


@pytest.mark.parametrize("stage", STAGES)
def test_asked_for_generated_code_the_cause_is_raised(
    layer: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, stage: tuple[Any, str]
) -> None:
    break_stage(monkeypatch, stage)
    with pytest.raises(ModelError, match=r"no code could be generated.*KeyError.*'auto'") as error:
        compile(layer, engine="gossamer")
    assert isinstance(error.value.__cause__, KeyError)
    assert "\n" not in str(error.value)


def test_without_onnx_runtime_cause_and_remedy_are_named(
    layer: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    break_stage(monkeypatch, (lowering, "lower"))
    with pytest.raises(ModelError, match=r"KeyError: 'nobody.*install gossamer\[ort\]"):
        compile(layer)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_and_want_of_memory_are_no_reason_to_fall_back(
    layer: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def stop(*given: Any) -> Any:
        raise kind

    monkeypatch.setattr(lowering, "lower", stop)
    with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else ModelError):
        compile(layer)


# Feeds that a program does not take


def test_an_empty_batch_is_onnx_runtimes(layer: onnx.ModelProto) -> None:
    empty = {"x": np.zeros((0, 4), f32)}
    compiled = compile(layer, threads=1)
    assert compiled.run(None, empty)[0].shape == (0, 4)
    assert compiled.engine == "gossamer"
    with pytest.raises(DataError, match="give at least one along each axis"):
        compile(layer, engine="gossamer").run(None, empty)


def test_sizes_beyond_what_was_inferred_are_onnx_runtimes(
    limited: onnx.ModelProto, reference: Any
) -> None:
    ours = compile(limited, threads=1)
    strict = compile(limited, threads=1, engine="gossamer")
    for length in (3, 6, 9):
        feeds = {"x": np.ones((1, length), f32), "z": np.ones((length, 4), f32)}
        for one, other in zip(ours.run(None, feeds), reference(limited, feeds), strict=True):
            np.testing.assert_array_equal(one, other)
        if length > 6:
            with pytest.raises(DataError, match="T is 9; the compiled model takes at most 6"):
                strict.run(None, feeds)


def test_sizes_of_one_name_that_differ_run_with_a_warning(model: Any) -> None:
    """ONNX's text is against them, and ONNX Runtime runs them all the same."""
    small = model(
        "(float[N, 4] x, float[N, 4] z) => (float[N, 4] y, float[N, 4] v) "
        "{ y = MatMul(x, w)  v = MatMul(z, w) }",
        w=np.eye(4),
    )
    feeds = {"x": np.ones((2, 4), f32), "z": np.ones((3, 4), f32)}
    with pytest.warns(UserWarning, match="as N is 2 elsewhere; ONNX Runtime runs it all the same"):
        y, v = compile(small, threads=1).run(None, feeds)
    assert (y.shape, v.shape) == ((2, 4), (3, 4))
    with pytest.raises(DataError, match="as N is 2 elsewhere"):
        compile(small, engine="gossamer").run(None, feeds)


def test_what_onnx_runtime_does_not_take_either_is_said_as_generated_code_says_it(
    model: Any,
) -> None:
    small = model(
        "(float[N, 4] x, float[N, 4] z) => (float[N, 4] y) { m = MatMul(x, w)  y = Add(m, z) }",
        w=np.eye(4),
    )
    with pytest.raises(DataError, match="as N is 2 elsewhere"):
        compile(small).run(None, {"x": np.ones((2, 4), f32), "z": np.ones((3, 4), f32)})


def test_an_initializer_that_is_an_input_may_be_overridden(
    layer: onnx.ModelProto, reference: Any
) -> None:
    layer.graph.input.append(
        onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 4])
    )
    x = np.ones((2, 4), f32)
    compiled = compile(layer, threads=1)
    assert [port.name for port in compiled.get_inputs()] == ["x"]
    assert [port.name for port in compiled.get_overridable_initializers()] == ["w"]
    for feeds in ({"x": x}, {"x": x, "w": np.full((4, 4), 2, f32)}, {"x": x}):
        np.testing.assert_array_equal(compiled.run(None, feeds)[0], reference(layer, feeds)[0])
    with pytest.raises(DataError, match="'w' is a constant in generated code"):
        compile(layer, engine="gossamer").run(None, {"x": x, "w": x})


def test_a_model_that_was_changed_meanwhile_is_not_run(layer: onnx.ModelProto) -> None:
    compiled = compile(layer, threads=1)
    layer.graph.initializer[0].raw_data = bytes(64)
    with pytest.raises(DataError) as error:
        compiled.run(None, {"x": np.zeros((0, 4), f32)})
    assert "changed since it was compiled" in str(error.value.__cause__)
