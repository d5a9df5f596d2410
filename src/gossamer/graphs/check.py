"""ONNX's checker, as strict as is needed: what ONNX Runtime loads is not refused for its words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import helper

from gossamer.errors import ModelError
from gossamer.graphs.nodes import with_inner

# Withdrawn as ill defined in versions that are still written; ONNX Runtime runs it in all of them.
_WITHDRAWN = "GroupNormalization"
# The checker passes over nodes of a domain that it does not know.
_UNKNOWN = "gossamer.withdrawn"


def check(model: onnx.ModelProto) -> None:
    """Check a model, but for what ONNX Runtime does without.

    The checker wants types and shapes stated of all inputs and outputs and of what lies between;
    ONNX Runtime does not, and here they are inferred. It also refuses an operator of some opsets
    that ONNX Runtime runs.

    Args:
        model: of at most 2 GiB; it is as it was when this returns.

    Raises:
        ModelError: if a name in it is no text.
        onnx.checker.ValidationError: if the model is not valid, and other errors of the checker.
    """
    graph = model.graph
    _check_names(graph)
    stated = []
    for infos in (graph.input, graph.output, graph.value_info):
        for info in infos:
            if not _is_complete(info):
                stated.append((info, info.SerializeToString()))
                info.CopyFrom(helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, []))
    withdrawn = [(node, node.SerializeToString()) for node in _withdrawn(model)]
    for node, _ in withdrawn:
        node.domain = _UNKNOWN
    importing = [model, *model.functions] if withdrawn else []
    for owner in importing:
        owner.opset_import.add(domain=_UNKNOWN, version=1)
    try:
        onnx.checker.check_model(model)
    finally:
        for message, content in (*stated, *withdrawn):
            message.ParseFromString(content)
        for owner in importing:
            owner.opset_import.pop()


def _withdrawn(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of withdrawn versions; a function's are of the version that it names."""
    bodies = [(model.opset_import, model.graph.node)]
    bodies += [(function.opset_import, function.node) for function in model.functions]
    for imports, nodes in bodies:
        if any(18 <= entry.version < 21 for entry in imports if _is_plain(entry.domain)):
            for node in with_inner(nodes):
                if node.op_type == _WITHDRAWN and _is_plain(node.domain):
                    yield node


def _check_names(graph: onnx.GraphProto) -> None:
    """Refuse names that protocol buffers give as bytes, since these are no UTF-8."""
    names: list[str] = [tensor.name for tensor in graph.initializer]
    names += [sparse.values.name for sparse in graph.sparse_initializer]
    for node in with_inner(graph.node):
        names += (node.name, node.op_type, node.domain, *node.input, *node.output)
    _check_text(names)
    for info in (*graph.input, *graph.output, *graph.value_info):
        check_value_names(info)


def check_value_names(info: onnx.ValueInfoProto) -> None:
    """Refuse a value whose name, or that of a size, is no text.

    Raises:
        ModelError: that shows it.
    """
    sizes = info.type.tensor_type.shape.dim
    _check_text((info.name, *(size.dim_param for size in sizes)))


def _check_text(names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ModelError(f"the name {name!r} is no UTF-8; export the model with another")


def _is_plain(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _is_complete(info: onnx.ValueInfoProto) -> bool:
    """Whether type and shape are stated of what is a tensor."""
    if info.type.WhichOneof("value") is None:
        return False
    if not info.type.HasField("tensor_type"):
        return True
    tensor = info.type.tensor_type
    return bool(tensor.HasField("shape") and tensor.elem_type)
