"""Never slower: what is left to ONNX Runtime whole, and when that takes timing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import ModelError, OptionError
from gossamer.runtime import compile, contest
from gossamer.runtime.codegen import cache
from gossamer.runtime.contest import lost
from gossamer.runtime.passes import optimize
from gossamer.runtime.passes.partition import partition

f32 = np.float32


@pytest.fixture(autouse=True)
def timed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """What is in doubt is timed, with generated code ten times as slow; the sizes of each trial."""
    trials: list[dict[str, int]] = []

    def time(ours: Any, theirs: Any, sizes: dict[str, int]) -> tuple[float, float]:
        trials.append(dict(sizes))
        return 0.02, 0.002

    monkeypatch.setattr(contest, "lost", lost)
    monkeypatch.setattr(contest, "_time_in_turn", time)
    monkeypatch.setattr(cache, "read", lambda name: None)
    monkeypatch.setattr(cache, "write", lambda name, content: None)
    return trials


def layer(model: Any, sparsity: float, text: str = "y = MatMul(x, w)") -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = random.standard_normal((20, 30)) * (random.random((20, 30)) >= sparsity)
    made: onnx.ModelProto = model(
        f"(float[N, T, 20] x) => (float[N, T, 30] y) {{ {text} }}",
        w=weights,
        place=np.array([[[0]]]),
        new=np.ones((1, 1, 1)),
    )
    return made


X = np.ones((2, 5, 20), f32)


def test_a_slower_model_is_left_to_onnx_runtime_and_says_so(model: Any) -> None:
    session = compile(layer(model, 0))
    assert session.engine == "onnxruntime"
    (line,) = session.explain()
    assert (line.op, line.kernel) == ("MatMul", "ONNX Runtime")
    assert line.reason == (
        "the whole model takes 2 ms in ONNX Runtime here, and 20 ms in generated code"
    )
    expected = compile(layer(model, 0), engine="gossamer").run(None, {"x": X})
    np.testing.assert_allclose(session.run(None, {"x": X}), expected, atol=1e-4)


def test_ties_go_to_generated_code(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "_time_in_turn", lambda *given: (0.00104, 0.001))
    assert compile(layer(model, 0)).engine == "gossamer"


def test_a_sparse_model_is_not_timed(model: Any, timed: list[Any]) -> None:
    assert compile(layer(model, 0.9)).engine == "gossamer"
    assert not timed
    compile(layer(model, 0.5))
    assert len(timed) == 1


def test_sizes_that_need_no_run_are_no_part_in_onnx_runtime(model: Any, timed: list[Any]) -> None:
    text = "h = MatMul(x, w)  s = Shape(h)  y = Reshape(h, s)"
    assert compile(layer(model, 0.9, text)).engine == "gossamer"
    assert not timed


def test_a_model_with_a_part_in_onnx_runtime_is_timed(model: Any, timed: list[Any]) -> None:
    small = layer(model, 0.9, "h = MatMul(x, w)  y = ScatterElements(h, place, new)")
    assert compile(small).engine == "onnxruntime"
    assert len(timed) == 1


def test_without_a_layer_nothing_is_timed(model: Any, timed: list[Any]) -> None:
    small = model("(float[N] x) => (float[N] y) { a = Abs(x)  y = Sqrt(a) }")
    session = compile(small)
    assert session.engine == "onnxruntime"
    assert not timed
    assert compile(small, engine="gossamer").engine == "gossamer"


def test_either_engine_can_be_asked_for(model: Any, timed: list[Any]) -> None:
    assert compile(layer(model, 0), engine="gossamer").engine == "gossamer"
    session = compile(layer(model, 0.9), engine="onnxruntime")
    assert session.engine == "onnxruntime"
    assert session.explain()[0].reason == "the engine asked for"
    assert session.run(None, {"x": X})[0].shape == (2, 5, 30)
    assert not timed


def test_an_unknown_engine_is_refused(model: Any) -> None:
    engine: Any = "steam"
    with pytest.raises(OptionError, match="no engine 'steam'; choose from auto, gossamer"):
        compile(layer(model, 0), engine=engine)


def test_without_onnx_runtime_nothing_is_timed(
    model: Any, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert compile(layer(model, 0)).engine == "gossamer"
    assert not timed
    with pytest.raises(ModelError, match=r"install gossamer\[ort\]"):
        compile(layer(model, 0), engine="onnxruntime")


def test_the_outcome_is_kept_for_like_models(
    model: Any, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(cache, "read", kept.get)
    monkeypatch.setattr(cache, "write", kept.__setitem__)
    for _ in range(2):
        assert compile(layer(model, 0.3), threads=1).engine == "onnxruntime"
    assert len(timed) == 1
    for other, threads in ((layer(model, 0), 1), (layer(model, 0.3), 2)):
        compile(other, threads=threads)
    assert len(timed) == 3


def test_a_broken_note_is_replaced(
    model: Any, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in (b"", b"{", b"[1]", b'["a", "b"]', b"7"):
        monkeypatch.setattr(cache, "read", lambda name, broken=broken: broken)
        compile(layer(model, 0), threads=1)
    assert len(timed) == 5


def test_open_sizes_are_one_batch_of_a_sequence_within_the_limits(
    model: Any, timed: list[Any], random: np.random.Generator
) -> None:
    compile(layer(model, 0))
    positions = model(
        """(int64[N, T] ids) => (float[N, T, 8] y) {
            s = Shape(ids)  t = Gather(s, one)  p = Slice(table, zero, t, zero)
            e = Gather(table, ids)  x = Add(e, p)  y = MatMul(x, w) }""",
        table=random.standard_normal((40, 8)),
        w=random.standard_normal((8, 8)),
        one=np.array([1]),
        zero=np.array([0]),
    )
    compile(positions)
    window = model(
        """(float[N, T, 8] x) => (float[N, K, 8] y) {
            last = Slice(x, start, end, one)  y = MatMul(last, w) }""",
        w=random.standard_normal((8, 8)),
        start=np.array([-200]),
        end=np.array([2**63 - 1]),
        one=np.array([1]),
    )
    compile(window)
    assert timed == [{"N": 1, "T": 128}, {"N": 1, "T": 32}, {"N": 1, "T": 256}]


def test_a_trial_that_fails_proves_nothing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> tuple[float, float]:
        raise ModelError("ONNX Runtime could not run the model")

    monkeypatch.setattr(contest, "_time_in_turn", fail)
    assert compile(layer(model, 0)).engine == "gossamer"


def test_both_are_timed_on_made_up_inputs(
    model: Any, close: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    ours = compile(layer(model, 0), engine="gossamer")._program
    theirs = compile(layer(model, 0), engine="onnxruntime")._whole
    seconds = contest._time_in_turn(ours, theirs, {"N": 1, "T": 16})
    assert all(0 < taken < 10 for taken in seconds)


def test_work_counts_positions_and_zeros(after: Any, model: Any) -> None:
    graph = after(
        model(
            """(float[N, 4, 8, 8] x) => (float[N, 6, 8, 8] y) {
                y = Conv<pads=[1, 1, 1, 1]>(x, w) }""",
            w=np.eye(6, 36).reshape(6, 4, 3, 3),
        ),
        optimize,
        partition,
    )
    (conv,) = (node for node in graph.nodes if node.op == "Convolution")
    assert contest._work(conv, {"N": 2}) == (2 * 64 * 6 * 36, 6 / (6 * 36))
