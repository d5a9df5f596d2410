"""A random valid model from a seed, with inputs for each assignment of sizes to its open axes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# Each enters its rules.
from differential import elementwise, layers, movement, oracle, others, patterns, reductions  # noqa: F401
from differential.builder import Graph, Value, type_of
from differential.registry import NEWEST, OLDEST, definitions, weights

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A model and inputs for it.

    Attributes:
        worlds: for each assignment of sizes, the arrays by input.
        wanted: ONNX Runtime's outputs in each.
        computed: names of nodes that compute something of the inputs; others are folded.
    """

    seed: int
    opset: int
    model: onnx.ModelProto
    worlds: list[dict[str, Array]]
    wanted: list[list[Array]]
    computed: frozenset[str]


class Invalid(Exception):
    """A model that ONNX Runtime refuses as a whole."""


@functools.cache
def _opsets() -> tuple[tuple[int, ...], Any]:
    """Operator sets, more often those that define much anew."""
    sets = tuple(range(OLDEST, NEWEST + 1))
    shares = np.array([sum(weight for _, weight in weights(opset)) for opset in sets])
    return sets, shares / shares.sum()


def make(seed: int) -> Case:
    """The model of a seed.

    Raises:
        Invalid: if ONNX Runtime refuses it as a whole, though it took each node.
    """
    rng = np.random.default_rng([seed, 1])
    sets, shares = _opsets()
    graph = Graph([seed, 2], int(rng.choice(sets, p=shares)))
    grow(graph, graph.number(8, 17))
    return finish(graph, seed)


def grow(graph: Graph, nodes: int) -> None:
    """Add so many nodes."""
    found = weights(graph.opset)
    shares = np.array([weight for _, weight in found])
    shares /= shares.sum()
    for _ in range(nodes * 6):
        growth = found[int(graph.rng.choice(len(found), p=shares))][0]
        with graph.attempt():
            growth.grow(graph)
        if len(graph.nodes) >= nodes and computed(graph):
            break


def computed(graph: Graph) -> list[Value]:
    """Values that nodes compute of the inputs."""
    return [value for value in graph.values if value.made and not value.constant]


def finish(graph: Graph, seed: int) -> Case:
    """The whole model.

    Raises:
        Invalid: if ONNX Runtime refuses it.
    """
    found = computed(graph)
    if not found:
        raise Invalid("nothing is computed")
    ends = [value for value in graph.values if value.made and not value.users]
    more = [v for v in found if v.users and graph.chance(0.12)]
    outputs = ends + more
    if graph.inputs and graph.chance(0.02):
        outputs.append(graph.choice(graph.inputs))
    nodes = {name: node for node in graph.nodes for name in node.output}
    live = frozenset(nodes[value.name].name for value in found)
    worlds = [
        {value.name: value.arrays[world] for value in graph.inputs} for world in range(graph.real)
    ]
    plain = assemble(graph, outputs, dressed=False)
    model = assemble(graph, outputs, dressed=True)
    try:
        wanted = run_worlds(model, worlds)
    except oracle.Unfit:
        model = plain
        try:
            wanted = run_worlds(model, worlds)
        except oracle.Unfit as reason:
            raise Invalid(str(reason)) from None
    return Case(seed, graph.opset, model, worlds, wanted, live)


def run_worlds(model: onnx.ModelProto, worlds: Sequence[Mapping[str, Array]]) -> list[list[Array]]:
    loaded = oracle.session(model)
    return [oracle.run(loaded, feeds) for feeds in worlds]


def assemble(graph: Graph, outputs: Sequence[Value], dressed: bool) -> onnx.ModelProto:
    """The model; dressed as some exporters and scripts leave one."""
    infos = [_declared(graph, value) for value in graph.inputs]
    tensors = [numpy_helper.from_array(a, name) for name, a in graph.initializers.items()]
    results = [_result(graph, value) for value in outputs]
    ir = 10
    if dressed and graph.chance(0.1):
        # Before version 4 of the format, each initializer was an input as well.
        infos += [
            helper.make_tensor_value_info(name, type_of(array), array.shape)
            for name, array in graph.initializers.items()
        ]
        ir = 3 if graph.opset < 9 else 8
    inner = [value for value in graph.values if value.made and value not in outputs]
    notes = []
    if dressed and graph.chance(0.25):
        # What was noted when the sizes were fixed still stands there; or only some of it.
        notes = [
            helper.make_tensor_value_info(value.name, type_of(value.arrays[0]), value.shape)
            for value in inner
            if graph.chance(0.7)
        ]
    made = helper.make_graph(graph.nodes, "random", infos, results, tensors, value_info=notes)
    return oracle.model_of(made, graph.opsets(), ir)


def _declared(graph: Graph, value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, type_of(value.arrays[0]), value.declared)


def _result(graph: Graph, value: Value) -> onnx.ValueInfoProto:
    shape: list[int | None] = [value.size(axis) for axis in range(value.rank)]
    if graph.chance(0.5):
        shape = [None] * value.rank
    return helper.make_tensor_value_info(value.name, type_of(value.arrays[0]), shape)


__all__ = ["Case", "Invalid", "definitions", "make", "run_worlds"]
