"""Whole numbers divided by nothing, and the least by -1: both are traps of processors.

Where ONNX Runtime does not look at divisors, and it looks for zeros since late, they end its
process. So a zero is refused, and a division by -1 written as one by 1 with the sign turned, which
gives the least number for itself as generated code does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableSequence

import onnx
from onnx import helper

from gossamer.graphs.external_data import is_external
from gossamer.graphs.nodes import graphs, held_tensors, subgraphs, with_inner
from gossamer.graphs.operation import Array
from gossamer.graphs.tensors import tensor_array
from gossamer.runtime.guards import Guard, named

# Of narrower ones the quotients are computed in these.
_TRAPPING = {onnx.TensorProto.INT32, onnx.TensorProto.INT64}
_INT64 = onnx.TensorProto.INT64


def needs_guards(model: onnx.ModelProto) -> bool:
    """Whether a model divides whole numbers by what it does not hold."""
    return bool(_trapping(model))


def guard(model: onnx.ModelProto) -> None:
    """Let a model divide whole numbers in place without a trap."""
    found = _trapping(model)
    if found:
        _guard(model.graph.node, found)


def _trapping(model: onnx.ModelProto) -> dict[str, int]:
    """The types of the divisors, by name, that may hold what is trapped on.

    Functions are left out, in which no value has a type.
    """
    held = held_tensors(model)
    divisors = {node.input[1] for node in with_inner(model.graph.node) if _divides(node)}
    fed = {info.name for info in model.graph.input}
    unsure = {n for n in divisors if n in fed or n not in held or not _is_safe(held[n])}
    if not unsure:
        return {}
    try:
        typed = onnx.shape_inference.infer_shapes(model)
    except Exception:
        # A model that ONNX Runtime will refuse.
        return {}
    types = {tensor.name: tensor.data_type for tensor in held.values()}
    types |= {name: kind for graph in graphs(typed) for name, kind in _types(graph)}
    return {name: types[name] for name in unsure if types.get(name) in _TRAPPING}


def _divides(node: onnx.NodeProto) -> bool:
    plain = node.domain in ("", "ai.onnx") and len(node.input) == 2
    return plain and node.op_type in ("Div", "Mod")


def _is_safe(tensor: onnx.TensorProto) -> bool:
    """Whether a constant holds neither 0 nor -1, or no whole numbers."""
    if tensor.data_type not in _TRAPPING:
        return True
    if is_external(tensor):
        return False
    try:
        array = tensor_array(tensor)
    except Exception:
        # Its elements lie elsewhere.
        return False
    return not is_trapped_on(array)


def is_trapped_on(divisors: Array) -> bool:
    """Whether whole numbers hold one that dividing by may trap: 0, or -1 for the least of all."""
    return bool(((divisors == 0) | (divisors == -1)).any())


def _types(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for info in (*graph.input, *graph.value_info, *graph.output):
        yield info.name, info.type.tensor_type.elem_type


def _guard(nodes: MutableSequence[onnx.NodeProto], types: Mapping[str, int]) -> None:
    for position in reversed(range(len(nodes))):
        node = nodes[position]
        for graph in subgraphs(node):
            _guard(graph.node, types)
        if _divides(node) and node.input[1] in types:
            made = _guarded(node, types[node.input[1]])
            node.CopyFrom(made.pop())
            for other in reversed(made):
                nodes.insert(position, other)


def _guarded(node: onnx.NodeProto, dtype: int) -> list[onnx.NodeProto]:
    """Nodes that divide where that is safe, and fail where it is by nothing."""
    made = Guard(node, "divisor")
    dividend, divisor = node.input
    zeros = made.add("Cast", made.add("Equal", divisor, made.number(0, dtype, ())), to=_INT64)
    count = made.add("ReduceSum", zeros, keepdims=0)
    # There is one element to be had: none beyond the first.
    reason = f"{named(node)} divides whole numbers by 0; give it other divisors"
    nothing = made.add("Gather", made.number(0, dtype), count, refusing=reason)
    safe = made.add("Add", divisor, nothing)
    if node.op_type == "Mod":
        last = onnx.NodeProto()
        last.CopyFrom(node)
        last.input[1] = safe
        return [*made.nodes, last]
    turned = made.add("Cast", made.add("Equal", safe, made.number(-1, dtype, ())), to=dtype)
    twice = made.add("Add", turned, turned)
    sign = made.add("Sub", made.number(1, dtype, ()), twice)
    quotient = made.add("Div", dividend, made.add("Add", safe, twice))
    last = helper.make_node("Mul", [quotient, sign], node.output, node.name)
    return [*made.nodes, last]
