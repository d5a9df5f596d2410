"""Nodes without a lowering: the largest subgraphs that hold them run in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import onnx
from onnx import helper

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim
from gossamer.graphs.operation import Array
from gossamer.runtime import hazards, ort
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.onnx_import import has_rule
from gossamer.runtime.ports import type_of
from gossamer.runtime.protos import declared_value, to_proto

Types: TypeAlias = "dict[Value, onnx.TypeProto]"


class FallbackRegion:
    """A run of nodes as one ONNX Runtime session over plain arrays.

    Args:
        nodes: in an order in which they can run.
        outputs: the values that are taken elsewhere.
        opsets: the version of each operator set, by domain.
        threads: how many it uses.
        types: what ONNX Runtime said of the outputs of regions before this one; takes what it says
            of this one's.

    Raises:
        ModelError: if ONNX Runtime is not installed, refuses the nodes, or gives something else
            than generated code takes.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Value],
        opsets: Mapping[str, int],
        threads: int,
        types: Types,
    ) -> None:
        self.nodes = list(nodes)
        made = {output for node in nodes for output in node.outputs}
        taken = dict.fromkeys(v for node in nodes for v in node.inputs if v is not None)
        self.inputs = [v for v in taken if v not in made and v.data is None]
        self.outputs = list(outputs)
        constants = [value for value in taken if value.data is not None]
        self._session = _session(self, constants, opsets, threads, types)
        for value, port in zip(self.outputs, self._session.get_outputs(), strict=True):
            types[value] = _agreed(value, type_of(port))

    def run(self, feeds: Sequence[Array]) -> list[Array]:
        """The outputs' arrays, given the inputs'."""
        named = {value.name: array for value, array in zip(self.inputs, feeds, strict=True)}
        try:
            results = list(self._session.run([value.name for value in self.outputs], named))
        except Exception as error:
            raise ort.failed("could not run the model", error) from error
        for value, result in zip(self.outputs, results, strict=True):
            if result is None:
                raise ModelError(
                    f"ONNX Runtime gives nothing for {value.name!r}; compile the model with "
                    "engine='auto', which leaves it to ONNX Runtime"
                )
        return results


def _session(
    region: FallbackRegion,
    constants: Sequence[Value],
    opsets: Mapping[str, int],
    threads: int,
    types: Types,
) -> Any:
    reasons = "; ".join(dict.fromkeys(f"{node.op}: {node.reason}" for node in region.nodes))
    graph = helper.make_graph(
        _protos(region.nodes),
        "fallback",
        [_info(value, types) for value in region.inputs],
        # What comes out is for ONNX Runtime to say.
        [onnx.ValueInfoProto(name=value.name) for value in region.outputs],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    weights = {value.name: value.data for value in constants if value.data is not None}
    apart = ort.add_weights(model, weights)
    # Open sizes are 1 or more.
    some = [
        value.name for value in region.inputs if value.shape is not None and 0 not in value.shape
    ]
    hazards.guard(model, some)
    return ort.open_session(
        model,
        model,
        weights=apart,
        threads=threads,
        # Its threads would otherwise spin on while generated code runs.
        spinning="never",
        why=f"part of the model needs ONNX Runtime ({reasons})",
    )


def _protos(nodes: Sequence[Node]) -> list[onnx.NodeProto]:
    """The nodes, and the names under which their inner graphs take values from around them."""
    protos = []
    named: set[str] = set()
    for node in nodes:
        captured = node.attributes.get("captured", ())
        for name, value in zip(reversed(captured), reversed(node.inputs), strict=False):
            # A pass may have put another value in place of the one that bore the name.
            if value is not None and value.name != name and name not in named:
                named.add(name)
                protos.append(helper.make_node("Identity", [value.name], [name]))
        protos.append(to_proto(node))
    return protos


def _info(value: Value, types: Types) -> onnx.ValueInfoProto:
    """What a region takes: as the one before says that gives it, or as it was inferred."""
    if value in types:
        return onnx.ValueInfoProto(name=value.name, type=types[value])
    if value.dtype is None:
        raise ModelError(f"the type of {value.name!r} is not known; state it in the model's inputs")
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    shape = None
    if value.shape is not None:
        shape = [None if isinstance(size, Dim) else size for size in value.shape]
    return helper.make_tensor_value_info(value.name, kind, shape)


def _agreed(value: Value, told: onnx.TypeProto) -> onnx.TypeProto:
    """What ONNX Runtime says that it will give, held to what generated code was made for.

    Sizes that follow from an operator's rule stand against what it says, for it states those of a
    Resize by other arithmetic than it computes them; what it gives is looked at in each run.
    """
    found = declared_value(onnx.ValueInfoProto(name=value.name, type=told))
    agreed = onnx.TypeProto()
    agreed.CopyFrom(told)
    fits = value.dtype is None or value.dtype == found.dtype
    if value.shape is not None and found.shape is not None:
        fits = fits and len(value.shape) == len(found.shape)
        proved = value.producer is not None and has_rule(value.producer)
        stated = agreed.tensor_type.shape.dim
        for ours, theirs, dim in zip(value.shape, found.shape, stated, strict=False):
            if isinstance(ours, int) and isinstance(theirs, int) and ours != theirs:
                fits = fits and proved
                dim.dim_value = ours
    if not fits:
        raise ModelError(
            f"ONNX Runtime gives {value.name!r} as {found.dtype} {list(found.shape or ())}, not "
            f"{value.dtype} {list(value.shape or ())} as inferred; compile with "
            "engine='onnxruntime'"
        )
    return agreed


def schedule(graph: Graph) -> list[list[Node]]:
    """The nodes in runs that are all native or all not, in a greedy order that makes them long."""
    left = list(graph.nodes)
    made_by = {output: node for node in left for output in node.outputs}
    done: set[Node] = set()
    runs: list[list[Node]] = []
    native, stuck = True, 0
    while left:
        run: list[Node] = []
        for node in left:
            needs = {made_by[v] for v in node.inputs if v is not None and v in made_by}
            if node.native == native and needs <= done:
                run.append(node)
                done.add(node)
        stuck = 0 if run else stuck + 1
        if stuck == 2:
            raise ModelError("the model's nodes form a cycle; export it anew")
        if run:
            runs.append(run)
            left = [node for node in left if node not in done]
        native = not native
    return runs
