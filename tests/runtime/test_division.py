"""Divisions of whole numbers that processors trap on end no process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper, parser

from gossamer.errors import ModelError
from gossamer.runtime import compile, division

LEAST = {"int32": -(2**31), "int64": -(2**63)}


@pytest.mark.parametrize("shape", ["", "[N]", "[2, N]"])
@pytest.mark.parametrize("opset", [7, 12, 13, 24])
@pytest.mark.parametrize("kind", LEAST)
def test_the_least_number_divided_by_minus_one_is_itself(
    model: Any, kind: str, opset: int, shape: str
) -> None:
    """As whole numbers wrap; ONNX Runtime dies of it."""
    small = model(
        f"({kind}{shape} x, {kind}{shape} z) => ({kind}{shape} y) {{ y = Div(x, z) }}", opset
    )
    numbers = np.array([[LEAST[kind], 7, -9], [7, LEAST[kind], 6]], kind)
    divisors = np.array([[-1, -1, 2], [2, 1, -3]], kind)
    expected = np.array([[LEAST[kind], -7, -4], [3, LEAST[kind], -2]], kind)
    place: Any = {"": (0, 0), "[N]": 0, "[2, N]": slice(None)}[shape]
    for engine in ("auto", "gossamer", "onnxruntime"):
        feeds = {"x": np.array(numbers[place]), "z": np.array(divisors[place])}
        (y,) = compile(small, engine=engine).run(None, feeds)  # type: ignore[arg-type]
        np.testing.assert_array_equal(y, expected[place])
        assert y.dtype == kind


@pytest.mark.parametrize("node", ["Div(x, z)", "Mod(x, z)", "Mod<fmod=1>(x, z)"])
@pytest.mark.parametrize("kind", LEAST)
def test_division_by_zero_is_named_or_gives_zero(model: Any, kind: str, node: str) -> None:
    small = model(f"({kind}[N] x, {kind}[N] z) => ({kind}[N] y) {{ y = {node} }}")
    feeds = {"x": np.array([5, 7], kind), "z": np.array([0, 3], kind)}
    for engine in ("auto", "onnxruntime"):
        session = compile(small, engine=engine)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=r"^... 'y' divides whole numbers by 0; give it other"):
            session.run(None, feeds)
        assert session.run(None, feeds | {"z": np.array([5, 4], kind)})[0].tolist() == (
            [1, 1] if node.startswith("Div") else [0, 3]
        )
    (y,) = compile(small, engine="gossamer").run(None, feeds)
    assert y.tolist() == [0, 2 if node.startswith("Div") else 1]


def test_within_an_inner_graph_too(model: Any) -> None:
    inner = parser.parse_graph("inner () => (int64[N] u) { u = Div(x, z) }")
    small = model("(int64[N] x, int64[N] z, bool c) => (int64[N] y) { y = Identity(x) }")
    branches = {"then_branch": inner, "else_branch": inner}
    small.graph.node[0].CopyFrom(helper.make_node("If", ["c"], ["y"], **branches))
    feeds = {"x": np.array([LEAST["int64"]]), "z": np.array([-1]), "c": np.array(True)}
    for engine in ("auto", "gossamer"):
        session = compile(small, engine=engine)  # type: ignore[arg-type]
        assert session.run(None, feeds)[0] == LEAST["int64"]
        with pytest.raises(ModelError, match="Div 'u' divides whole numbers by 0"):
            session.run(None, feeds | {"z": np.array([0])})


@pytest.mark.parametrize(
    ("nodes", "unsafe"),
    [
        ("y = Div(i, two)", False),
        ("t = Constant<value=int64[1] {-2}>()  y = Div(i, t)", False),
        ("t = Shape(x)  y = Div(t, two)", False),
        ("t = Abs(x)  y = Div(x, t)", False),
        ("y = Div(i, pair)", True),
        ("t = Shape(x)  y = Div(i, t)", True),
        ("t = Cast<to=6>(x)  y = Mod(t, t)", True),
    ],
)
def test_a_model_that_divides_by_what_it_holds_stays_as_it_is(
    model: Any, nodes: str, unsafe: bool
) -> None:
    small = model(
        f"(float[N] x, int64[N] i) => (int64[M] y) {{ {nodes} }}",
        two=np.array([2]),
        pair=np.array([3, -1]),
    )
    assert division.needs_guards(small) == unsafe
