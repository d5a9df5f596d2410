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
