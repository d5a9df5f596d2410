from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

from gossamer.graphs.nodes import graphs, nodes, subgraphs, with_inner


def _graph(name: str, *nodes: Any) -> Any:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [output])


def _model() -> Any:
    inner = helper.make_node("Neg", ["x"], ["y"], name="inner")
    deep = helper.make_node(
        "If", ["c"], ["y"], "deep", then_branch=_graph("a", inner), else_branch=_graph("b")
    )
    many = helper.make_node("Many", ["x"], ["y"], "many", "", "own")
    many.attribute.add(name="graphs", type=10).graphs.append(_graph("c"))
    loop = helper.make_node("Loop", ["n", "c"], ["y"], "loop", body=_graph("body", deep))
    model = helper.make_model(_graph("main", loop))
    model.functions.add(name="f", domain="own").node.append(many)
    return model


def test_nodes_come_before_those_within_them_and_functions_last() -> None:
    names = [node.name for node in nodes(_model())]
    assert names == ["loop", "deep", "inner", "many"]


def test_every_graph_is_found_once() -> None:
    names = [graph.name for graph in graphs(_model())]
    assert names == ["main", "body", "b", "a", "c"]


def test_what_lies_within_a_node_alone() -> None:
    loop, *_ = _model().graph.node
    assert [graph.name for graph in subgraphs(loop)] == ["body"]
    assert [node.name for node in with_inner([loop])] == ["loop", "deep", "inner"]
