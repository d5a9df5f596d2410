"""ONNX's checker, as strict as is needed: what ONNX Runtime loads is not refused for its words."""

from __future__ import annotations

import onnx
from onnx import helper

from gossamer.onnx_nodes import with_inner

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
        onnx.checker.ValidationError: if the model is not valid, and other errors of the checker.
    """
    graph = model.graph
    stated = []
    for infos in (graph.input, graph.output, graph.value_info):
        for info in infos:
            if not _is_complete(info):
                stated.append((info, info.SerializeToString()))
                info.CopyFrom(helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, []))
    withdrawn = []
    if any(18 <= entry.version < 21 for entry in model.opset_import if _is_plain(entry.domain)):
        withdrawn = [
            (node, node.SerializeToString())
            for node in with_inner(graph.node)
            if node.op_type == _WITHDRAWN and _is_plain(node.domain)
        ]
    for node, _ in withdrawn:
        node.domain = _UNKNOWN
    if withdrawn:
        model.opset_import.add(domain=_UNKNOWN, version=1)
    try:
        onnx.checker.check_model(model)
    finally:
        for message, content in (*stated, *withdrawn):
            message.ParseFromString(content)
        if withdrawn:
            model.opset_import.pop()


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
