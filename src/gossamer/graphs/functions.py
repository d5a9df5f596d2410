"""Functions that an ONNX model brings along, replaced by their nodes."""

from __future__ import annotations

import onnx
import onnx.inliner


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with the nodes of its functions in place of their calls.

    Operators in a function are those of the model's operator sets, whatever sets the function
    names: so ONNX Runtime has it, and ONNX's checker makes sure that they are the same.

    Args:
        model: which gets the versions of its operator sets in its functions too.
    """
    versions = {_plain(entry.domain): entry.version for entry in model.opset_import}
    for function in model.functions:
        for entry in function.opset_import:
            # The inliner passes over a function of another version.
            entry.version = versions.get(_plain(entry.domain), entry.version)
    return onnx.inliner.inline_local_functions(model)


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
