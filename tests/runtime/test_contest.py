"""Never slower: what is left to ONNX Runtime whole, and when that takes timing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer import machine, version
from gossamer.errors import DataError, ModelError, OptionError
from gossamer.runtime import compile, compiler, contest, trial
from gossamer.runtime.codegen import cache
from gossamer.runtime.contest import lost
from gossamer.runtime.passes import optimize
from gossamer.runtime.passes.partition import partition
from gossamer.runtime.trial import Outcome

f32 = np.float32


@pytest.fixture(autouse=True)
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """What is in doubt is timed, with generated code ten times as slow; each outcome."""
    outcomes: list[Outcome] = []

    def time(ours: Any, theirs: Any) -> Outcome:
        outcomes.append(Outcome(ours=0.02, theirs=0.002, ratio=10.0, certain=True))
        return outcomes[-1]

    monkeypatch.setattr(contest, "lost", lost)
    monkeypatch.setattr(trial, "time_in_turn", time)
    # As if these models were large.
    monkeypatch.setattr(contest, "_SOON_OPENED", 0)
    monkeypatch.setattr(cache, "read", lambda name: None)
    monkeypatch.setattr(cache, "write", lambda name, content: None)
    return outcomes


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
    tie = Outcome(ours=0.00104, theirs=0.001, ratio=1.04, certain=True)
    monkeypatch.setattr(trial, "time_in_turn", lambda *given: tie)
    assert compile(layer(model, 0)).engine == "gossamer"


def test_a_large_sparse_model_is_not_timed(
    model: Any, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compile(layer(model, 0.9)).engine == "gossamer"
    assert not timed
    compile(layer(model, 0.75))
    assert len(timed) == 1
    monkeypatch.setattr(contest, "_SOON_OPENED", 1 << 20)
    compile(layer(model, 0.9))
    assert len(timed) == 2


def test_work_beside_the_layers_leaves_doubt(model: Any, timed: list[Any]) -> None:
    """All that other kernels write may take longer than what the zeros save."""
    tall = " ".join(f"h{i + 1} = Softmax<axis=1>(h{i})" for i in range(3))
    compile(layer(model, 0.9, f"h0 = MatMul(x, w)  {tall}  y = Identity(h3)"))
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
    for broken in (b"", b"{", b"[1]", b'{"ours": "a"}', b'{"ours": 1, "theirs": 2}', b"7"):
        monkeypatch.setattr(cache, "read", lambda name, broken=broken: broken)
        compile(layer(model, 0), threads=1)
    assert len(timed) == 6


def test_what_is_not_certain_is_timed_anew(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine: it decides for this process alone."""
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(cache, "read", kept.get)
    monkeypatch.setattr(cache, "write", kept.__setitem__)
    for ratio, engine in ((1.5, "onnxruntime"), (0.9, "gossamer"), (1.5, "onnxruntime")):
        doubtful = Outcome(ours=ratio, theirs=1.0, ratio=ratio, certain=False)
        monkeypatch.setattr(trial, "time_in_turn", lambda *given, doubtful=doubtful: doubtful)
        assert compile(layer(model, 0), threads=1).engine == engine
    assert not any(name.startswith("contest") for name in kept)


@pytest.mark.parametrize(
    ("module", "what"), [(version, "__version__"), (machine, "processor_name")]
)
def test_an_outcome_is_not_that_of_another_version_or_processor(
    model: Any, timed: list[Any], monkeypatch: pytest.MonkeyPatch, module: Any, what: str
) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(cache, "read", kept.get)
    monkeypatch.setattr(cache, "write", kept.__setitem__)
    compile(layer(model, 0), threads=1)
    monkeypatch.setattr(module, what, "other" if what == "__version__" else lambda: "other")
    compile(layer(model, 0), threads=1)
    assert len(timed) == 2


UNTIMED = "generated code and ONNX Runtime could not be timed side by side"


def test_what_cannot_be_timed_is_left_to_onnx_runtime(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Outcome:
        raise ModelError("ONNX Runtime could not run the model")

    monkeypatch.setattr(trial, "time_in_turn", fail)
    session = compile(layer(model, 0))
    assert session.engine == "onnxruntime"
    assert session.explain()[0].reason == f"{UNTIMED}: ONNX Runtime could not run the model"
    assert session.run(None, {"x": X})[0].shape == (2, 5, 30)


def test_what_no_input_can_be_made_up_for_is_left_to_onnx_runtime(model: Any) -> None:
    session = compile(
        model(
            """(float[N, 8] x, string[N] t) => (float[N, 8] y, string[N] u) {
                y = MatMul(x, w)  u = Identity(t) }""",
            w=np.ones((8, 8)),
        )
    )
    assert session.engine == "onnxruntime"
    assert session.explain()[0].reason == f"{UNTIMED}: no input can be made up for 't'"


def test_sizes_that_no_trial_meets_are_left_to_onnx_runtime(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(graph: Any) -> dict[str, int]:
        raise DataError("N is 1; the model takes at least 2")

    monkeypatch.setattr(trial, "sizes_for", none)
    session = compile(layer(model, 0.9))
    assert session.explain()[0].reason == f"{UNTIMED}: N is 1; the model takes at least 2"


def test_what_onnx_runtime_does_not_open_stays_in_generated_code(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, reason: str, spinning: Any = "default") -> Any:
        raise ModelError("ONNX Runtime refuses the model")

    monkeypatch.setattr(compiler._Wanted, "left", refuse)
    assert compile(layer(model, 0)).engine == "gossamer"


def test_nothing_is_left_of_a_program_that_lost(model: Any) -> None:
    left = compile(layer(model, 0))
    assert left._generated is None
    assert not hasattr(left, "_graph")
    left.close()


def test_both_run_on_made_up_inputs_as_their_user_would_run_them(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def run_once(ours: Any, theirs: Any) -> Outcome:
        found.extend([ours(), theirs()])
        return Outcome(ours=1.0, theirs=2.0, ratio=0.5, certain=True)

    monkeypatch.setattr(trial, "time_in_turn", run_once)
    assert compile(layer(model, 0)).engine == "gossamer"
    (ours,), (theirs,) = found
    assert ours.shape == theirs.shape == (1, 128, 30)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


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
