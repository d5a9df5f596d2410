"""Operators without a kernel of their own, written as others that have one.

Rules of ours (`runtime/ops/`) come first; then ONNX's own definitions: a good part of its operators
are functions of simpler ones. An operator is expanded only where all that it then consists of runs
natively; any other is left to ONNX Runtime whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx.inliner
from onnx import helper

from gossamer.graphs.dims import Dim, UnknownSize
from gossamer.graphs.inferred import NOT_INFERRED
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.onnx_import import follows_rule
from gossamer.runtime.ops import native
from gossamer.runtime.passes.partition import reason_against
from gossamer.runtime.protos import attributes_of, constant_array, to_proto


def expand(graph: Graph) -> None:
    """Put other nodes in the place of each node that has no kernel but can be written as such."""
    same: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node.inputs = [same.get(v, v) if v is not None else None for v in node.inputs]
        nodes += _native(node, graph.opset, same) or [node]
    graph.nodes = nodes
    graph.outputs = [same.get(value, value) for value in graph.outputs]


def _native(node: Node, opset: int, same: dict[Value, Value]) -> list[Node] | None:
    """Native nodes that do what a node does, None if there are none.

    Puts what stands for the node's outputs into `same`.
    """
    if node.domain or not follows_rule(node):
        return None if reason_against(node) else [node]
    expansion = _expansion(node, opset)
    if expansion is None or len(expansion[1]) != len(node.outputs):
        return None if reason_against(node) else [node]
    made, results = expansion
    nodes: list[Node] = []
    inner: dict[Value, Value] = {}
    for part in made.nodes:
        part.inputs = [inner.get(v, v) if v is not None else None for v in part.inputs]
        found = _native(part, made.written, inner)
        if found is None:
            return None
        nodes += found
    for output, result in zip(node.outputs, results, strict=True):
        same[output] = inner.get(result, result)
    return nodes


def _expansion(node: Node, opset: int) -> tuple[Expansion, Sequence[Value]] | None:
    rule = native(node).expand
    try:
        if rule is not None:
            made = Expansion(node, opset)
            results = rule(made, node)
            if results is not None:
                return made, results
        # What computes elements knows of which types it does; ONNX's definition takes any, and
        # rounds its numbers to theirs.
        is_left = native(node).element is not None or not reason_against(node)
        return None if is_left else _by_definition(node, opset)
    except NOT_INFERRED:
        return None


def _by_definition(node: Node, opset: int) -> tuple[Expansion, Sequence[Value]] | None:
    """The nodes of ONNX's definition of an operator, if it has one."""
    function = _definition(node, opset)
    if function is None:
        return None
    versions = {item.domain: item.version for item in function.opset_import}
    made = Expansion(node, opset, written=versions.get("", opset))
    values: dict[str, Value | None] = {"": None}
    values |= {value.name: value for value in node.inputs if value is not None}
    for proto in _inlined(node, function, opset):
        if proto.op_type == "Constant":
            values[proto.output[0]] = made.constant(constant_array(proto))
            continue
        attributes = attributes_of(proto, made.written)
        outputs = made.add(
            proto.op_type,
            [values[name] for name in proto.input],
            attributes,
            len(proto.output),
        )
        values |= dict(zip(proto.output, outputs, strict=True))
    results = [values[output.name] for output in node.outputs]
    return made, [value for value in results if value is not None]


def _definition(node: Node, opset: int) -> onnx.FunctionProto | None:
    if not onnx.defs.has(node.op):
        # One of our own, of a type that no kernel takes.
        return None
    schema = onnx.defs.get_schema(node.op, opset)
    if schema.has_function:
        version = max(schema.function_opset_versions)
        content = schema.get_function_with_opset_version(version)
    elif schema.has_context_dependent_function:
        version = max(schema.context_dependent_function_opset_versions)
        types = [_type(value).SerializeToString() for value in node.inputs]
        content = schema.get_context_dependent_function_with_opset_version(
            version, _with_defaults(node, opset).SerializeToString(), types
        )
    else:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(content)
    return function


def _inlined(node: Node, function: onnx.FunctionProto, opset: int) -> Sequence[onnx.NodeProto]:
    """The function's nodes, its attributes and names replaced by the node's."""
    call = _with_defaults(node, opset)
    call.domain = function.domain = "definition"
    call.op_type = function.name
    # An attribute that is given must be one that the function names.
    named = [*function.attribute, *(a.name for a in function.attribute_proto)]
    given = [attribute for attribute in call.attribute if attribute.name in named]
    del call.attribute[:]
    call.attribute.extend(given)
    graph = helper.make_graph([call], "call", [], [])
    imports = [*function.opset_import, helper.make_opsetid("definition", 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=[function])
    return list(onnx.inliner.inline_local_functions(model).graph.node)


def _with_defaults(node: Node, opset: int) -> onnx.NodeProto:
    """A node with every attribute that has a default."""
    proto = to_proto(node)
    given = {attribute.name for attribute in proto.attribute}
    for name, attribute in onnx.defs.get_schema(node.op, opset).attributes.items():
        if name not in given and attribute.default_value.type:
            proto.attribute.append(attribute.default_value)
    return proto


def _type(value: Value | None) -> onnx.TypeProto:
    if value is None:
        return onnx.TypeProto()
    if value.dtype is None or value.shape is None:
        raise UnknownSize("an input's type or shape is not known")
    shape = [str(size) if isinstance(size, Dim) else size for size in value.shape]
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), shape)
