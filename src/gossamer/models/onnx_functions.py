"""ONNX models without functions of their own, whose layers are then found like any others."""

from __future__ import annotations

import onnx

from gossamer.errors import ModelError, first_line
from gossamer.formats.onnx_message import without_elements
from gossamer.graphs.functions import inline

# Below this, elements stay in the message that the inliner reads and writes.
_SMALL = 1024


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without functions of its own: the given one, if it has none.

    Raises:
        ModelError: if the functions are broken, or become too many nodes.
    """
    if not model.functions:
        return model
    from gossamer.runtime import bounds

    bounds.check_functions(model)
    try:
        flat = inline(without_elements(model, keep=_SMALL))
    except Exception as error:
        raise ModelError(
            f"the model's functions cannot be inlined ({first_line(error)}); export it without them"
        ) from error
    full = {tensor.name: tensor for tensor in model.graph.initializer}
    for tensor in flat.graph.initializer:
        if not tensor.HasField("raw_data") and full[tensor.name].HasField("raw_data"):
            tensor.raw_data = full[tensor.name].raw_data
    return flat
