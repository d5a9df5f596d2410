"""What does nothing is taken out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.clean import clean


@pytest.mark.parametrize(
    "call",
    [
        "Identity(a)",
        "Dropout(a)",
        "Cast<to=1>(a)",
        "Reshape(a, same)",
        "Expand(a, ones)",
    ],
)
def test_what_does_nothing_goes(after: Any, model: Any, call: str) -> None:
    graph = after(
        model(
            f"(float[N, 4] x) => (float[N, 4] y) {{ a = Neg(x)  b = {call}  y = Abs(b) }}",
            same=np.array([0, 4]),
            ones=np.array([1, 1]),
        ),
        clean,
    )
    assert [node.op for node in graph.nodes] == ["Neg", "Abs"]


@pytest.mark.parametrize("call", ["Cast<to=11>(a)", "Reshape(a, flat)", "Expand(a, more)"])
def test_what_does_something_stays(after: Any, model: Any, call: str) -> None:
    graph = after(
        model(
            f"(float[N, 4] x) => (float[N, M] y) {{ a = Neg(x)  y = {call} }}",
            flat=np.array([-1]),
            more=np.array([3, 1, 1]),
        ),
        clean,
    )
    assert len(graph.nodes) == 2


def test_an_identity_at_the_end_keeps_the_outputs_name(model: Any, agrees: Any) -> None:
    small = model(
        "(float[N] x) => (float[N] y, float[N] z) { a = Neg(x)  y = Identity(a)  z = Identity(x) }"
    )
    session = agrees(small, {"x": np.arange(3, dtype=np.float32)})
    assert [port.name for port in session.get_outputs()] == ["y", "z"]


def test_dropout_that_drops_stays(after: Any, model: Any, agrees: Any) -> None:
    """In training mode, or where a run says whether it is."""
    nodes = "a = Neg(x)  b = Dropout<seed=1>(a, half, {0})  y = Abs(b)"
    given = {"half": np.array(0.5), "on": np.array(True), "off": np.array(False)}
    for training, ops in (("on", 3), ("off", 2), ("told", 3)):
        inputs = "float[N, 64] x" + (", bool told" if training == "told" else "")
        text = f"({inputs}) => (float[N, 64] y) {{ {nodes.format(training)} }}"
        assert len(after(model(text, **given), clean).nodes) == ops


@pytest.mark.parametrize(("given", "ops"), [("", 2), ("<is_test=0>", 2), ("<is_test=1>", 1)])
def test_dropout_of_old_drops_unless_it_is_told_to_test(
    after: Any, model: Any, given: str, ops: int
) -> None:
    text = f"(float[N] x) => (float[N] y) {{ a = Dropout{given}(x)  y = Abs(a) }}"
    assert len(after(model(text, opset=6), clean).nodes) == ops


def test_a_shape_that_only_the_model_states_proves_nothing(after: Any, model: Any) -> None:
    small = model(
        "(float[4] x, int64[1] s) => (float[M] y) <float[4] a> { a = Expand(x, s)  y = Abs(a) }"
    )
    assert [node.op for node in after(small, clean).nodes] == ["Expand", "Abs"]
