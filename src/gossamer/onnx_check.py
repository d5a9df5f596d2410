"""ONNX's checker, as strict as is needed: what ONNX Runtime loads is not refused for its words."""

from __future__ import annotations

import onnx
from onnx import helper


def check(model: onnx.ModelProto) -> None:
    """Check a model, but for types and shapes that nothing relies on.

    The checker wants them stated of all inputs and outputs and of what lies between; ONNX Runtime
    does not, and here they are inferred.

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
    try:
        onnx.checker.check_model(model)
    finally:
        for info, content in stated:
            info.ParseFromString(content)


def _is_complete(info: onnx.ValueInfoProto) -> bool:
    """Whether type and shape are stated of what is a tensor."""
    if info.type.WhichOneof("value") is None:
        return False
    if not info.type.HasField("tensor_type"):
        return True
    tensor = info.type.tensor_type
    return bool(tensor.HasField("shape") and tensor.elem_type)
