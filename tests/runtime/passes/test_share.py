"""What several nodes compute alike is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from gossamer.runtime.passes.share import share


def ops(after: Any, model: Any, nodes: str, **constants: Any) -> list[str]:
    graph = after(model(f"(float[N] x) => (float[N] y) {{ {nodes} }}", **constants), share)
    return [node.op for node in graph.nodes]


def test_a_repeated_node_runs_once(after: Any, model: Any) -> None:
    assert ops(after, model, "a = Exp(x)  b = Exp(x)  y = Add(a, b)") == ["Exp", "Add"]


def test_repeated_chains_run_once(after: Any, model: Any) -> None:
    nodes = "a = Exp(x)  b = Neg(a)  c = Exp(x)  d = Neg(c)  y = Add(b, d)"
    assert ops(after, model, nodes) == ["Exp", "Neg", "Add"]


def test_small_constants_are_compared_by_their_elements(after: Any, model: Any) -> None:
    nodes = "a = Add(x, c)  b = Add(x, d)  y = Mul(a, b)"
    one, two = np.array(1.0), np.array(2.0)
    assert ops(after, model, nodes, c=one, d=one) == ["Add", "Mul"]
    assert ops(after, model, nodes, c=one, d=two) == ["Add", "Add", "Mul"]


def test_attributes_and_random_numbers_tell_nodes_apart(after: Any, model: Any) -> None:
    nodes = "a = LeakyRelu<alpha=0.1>(x)  b = LeakyRelu<alpha=0.2>(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["LeakyRelu", "LeakyRelu", "Add"]
    nodes = "a = RandomNormalLike(x)  b = RandomNormalLike(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["RandomNormalLike", "RandomNormalLike", "Add"]


def test_outputs_may_share(model: Any, agrees: Any) -> None:
    small = model("(float[N] x) => (float[N] y, float[N] z) { y = Exp(x)  z = Exp(x) }")
    agrees(small, {"x": np.arange(3, dtype=np.float32)}, native=False)


def test_random_numbers_of_a_seed_are_drawn_anew_too(after: Any, model: Any) -> None:
    nodes = "a = RandomNormalLike<seed=1.0>(x)  b = RandomNormalLike<seed=1.0>(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["RandomNormalLike", "RandomNormalLike", "Add"]


def test_zero_and_minus_zero_are_two(after: Any, model: Any) -> None:
    nodes = "a = LeakyRelu<alpha=0.0>(x)  b = LeakyRelu<alpha=-0.0>(x)  y = Add(a, b)"
    assert ops(after, model, nodes) == ["LeakyRelu", "LeakyRelu", "Add"]
    nodes = "a = Div(x, c)  b = Div(x, d)  y = Add(a, b)"
    constants = {"c": np.array(0.0), "d": np.array(-0.0)}
    assert ops(after, model, nodes, **constants) == ["Div", "Div", "Add"]


def test_operators_that_nobody_here_knows_are_not_shared(after: Any, model: Any) -> None:
    small = model(
        "(float[N] x) => (float[N] y) { a = other.Draw(x)  b = other.Draw(x)  y = Add(a, b) }"
    )
    small.opset_import.append(helper.make_opsetid("other", 1))
    assert [node.op for node in after(small, share).nodes] == ["Draw", "Draw", "Add"]


LSTM = "LSTM<hidden_size=4>(x, w, r)"


@pytest.mark.parametrize(
    ("nodes", "outputs", "left"),
    [
        (f"y, , = {LSTM}  , b, c = {LSTM}", "y b c", 2),
        (f", b, c = {LSTM}  y, d, e = {LSTM}", "y b c d e", 2),
        (f"y, b, c = {LSTM}  z, d, e = {LSTM}", "y b c z d e", 1),
    ],
)
def test_outputs_that_are_left_out_are_not_there_to_share(
    after: Any, model: Any, agrees: Any, nodes: str, outputs: str, left: int
) -> None:
    ports = ", ".join(f"float[{'A, ' * (name in 'yz')}B, C, D] {name}" for name in outputs.split())
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((1, 16, 3)), "r": random.standard_normal((1, 16, 4))}
    small = model(f"(float[5, 2, 3] x) => ({ports}) {{ {nodes} }}", **weights)
    assert len(after(small, share).nodes) == left
    agrees(small, {"x": random.standard_normal((5, 2, 3)).astype(np.float32)}, native=False)
