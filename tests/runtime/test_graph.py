"""The graph: who takes what, and copies that passes may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.graph import Graph, constant, scalar


@pytest.fixture
def graph(after: Any, model: Any) -> Graph:
    small: Graph = after(
        model("(float[N] x) => (float[N] y) { a = Neg(x)  b = Abs(a)  c = Exp(a)  y = Mul(b, b) }")
    )
    return small


def test_what_nobody_takes_is_dropped(graph: Graph) -> None:
    assert [node.op for node in graph.nodes] == ["Neg", "Abs", "Mul"]


def test_users_are_counted_once_for_each_use(graph: Graph) -> None:
    neg, absolute, mul = graph.nodes
    assert graph.users()[absolute.output] == graph.takers(absolute.output) == [mul, mul]
    assert graph.only_user(absolute.output) is None
    assert graph.only_user(neg.output) is absolute
    assert graph.only_user(mul.output) is None


def test_an_output_of_the_graph_has_the_caller_as_another_user(graph: Graph) -> None:
    neg, _, _ = graph.nodes
    graph.outputs.append(neg.output)
    assert graph.only_user(neg.output) is None


def test_who_takes_a_value_is_asked_after_each_edit(graph: Graph) -> None:
    neg, absolute, mul = graph.nodes
    graph.substitute(absolute, neg.output)
    assert graph.nodes == [neg, mul]
    assert graph.takers(neg.output) == [mul, mul]
    assert graph.only_user(neg.output) is None


def test_replacing_a_value_reaches_nodes_and_outputs(graph: Graph) -> None:
    neg, absolute, mul = graph.nodes
    graph.replace(absolute.output, neg.output)
    assert mul.inputs == [neg.output, neg.output]
    graph.replace(mul.output, neg.output)
    assert graph.outputs == [neg.output]


def test_a_copy_is_not_changed_with_its_original(graph: Graph) -> None:
    copy = graph.copy()
    assert [node.op for node in copy.nodes] == [node.op for node in graph.nodes]
    assert all(node.output.producer is node for node in (*copy.nodes, *graph.nodes))
    graph.replace(graph.nodes[0].output, graph.inputs[0])
    graph.nodes[1].attributes["new"] = 1
    assert copy.nodes[1].inputs == [copy.nodes[0].output]
    assert not copy.nodes[1].attributes


def test_a_copy_shares_the_elements_of_constants(after: Any, model: Any) -> None:
    graph = after(model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)))
    assert graph.copy().nodes[0].source(1).data is graph.nodes[0].source(1).data


def test_a_constant_of_one_element_is_a_number() -> None:
    assert scalar(constant("a", np.array([[2.5]]))) == 2.5
    assert scalar(constant("a", np.array([1, 2]))) is None
    assert scalar(None) is None
