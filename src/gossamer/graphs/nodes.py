"""Every node and graph of an ONNX model: those within nodes and within functions among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import GraphProto, ModelProto, NodeProto, TensorProto


def nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node of a model, each before those within it, functions last."""
    yield from with_inner(model.graph.node)
    for function in model.functions:
        yield from with_inner(function.node)


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield every graph of a model: its own, and those within nodes."""
    yield model.graph
    for node in nodes(model):
        yield from subgraphs(node)


def initializers(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every initializer of a model, those of inner graphs as well."""
    for graph in graphs(model):
        yield from graph.initializer


def held_tensors(model: ModelProto) -> dict[str, TensorProto]:
    """Return the tensors that a model holds, by name: initializers, and those of Constant nodes.

    Functions are left out, in which names mean something else.
    """
    found = {tensor.name: tensor for tensor in initializers(model)}
    for node in with_inner(model.graph.node):
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def with_inner(outer: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes, each before those within it."""
    for node in outer:
        yield node
        for graph in subgraphs(node):
            yield from with_inner(graph.node)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs within a node, but not those within their nodes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
