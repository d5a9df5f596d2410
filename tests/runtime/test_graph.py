"""The graph: who takes what, and copies that passes may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compiler, passes
from gossamer.runtime.graph import Graph, Node, Value, constant, scalar


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


def _reverse(graph: Graph) -> None:
    graph.nodes.reverse()


def _forget(graph: Graph) -> None:
    del graph.nodes[0]


def _repeat(graph: Graph) -> None:
    graph.nodes.append(graph.nodes[0])


def _keep_the_producer(graph: Graph) -> None:
    graph.nodes[0].output.data = np.zeros(3, np.float32)


def _take_a_folded_value(graph: Graph) -> None:
    graph.nodes.pop(0).output.data = np.zeros(3, np.float32)


def _make_anew(graph: Graph) -> None:
    node = graph.nodes[0]
    Node("Abs", node.inputs, node.outputs)


def _name_alike(graph: Graph) -> None:
    graph.nodes[0].output.name = "y"


def _return_what_is_not_made(graph: Graph) -> None:
    graph.outputs = [Value("z")]


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (_reverse, "before it is made"),
        (_forget, "before it is made"),
        (_repeat, "made twice"),
        (_keep_the_producer, "makes a constant"),
        (_take_a_folded_value, "a constant, has a producer"),
        (_make_anew, "another producer"),
        (_name_alike, "several values are called y"),
        (_return_what_is_not_made, "taken by the caller"),
    ],
)
def test_a_check_finds_what_a_pass_may_leave(
    graph: Graph, break_it: Callable[[Graph], None], fault: str
) -> None:
    graph.check()
    break_it(graph)
    with pytest.raises(AssertionError, match=fault):
        graph.check()


def test_every_test_checks_after_each_pass(after: Any, model: Any, checked_passes: Any) -> None:
    """Wherever a pass is called from: those that tests apply, and those that a session does."""
    small = model("(float[N] x) => (float[N] y) { a = Neg(x)  y = Abs(a) }")
    for fault in (_reverse, _retype, _retype_output):
        with pytest.raises(AssertionError, match=f"after {fault.__name__}"):
            after(small, fault)
    compiled = (compiler.place_images, compiler.assign_layouts, compiler.group_pointwise)
    for change in (*passes.FUSIONS, *compiled, compiler.partition):
        assert hasattr(change, "__wrapped__")


def _retype(graph: Graph) -> None:
    graph.nodes[0].output.dtype = np.dtype(np.int64)


def _retype_output(graph: Graph) -> None:
    graph.outputs = [Value("z", np.dtype(np.int64), (3,), np.zeros(3, np.int64))]


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
