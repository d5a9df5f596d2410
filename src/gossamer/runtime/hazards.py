"""What no engine may be given: models that would end the process, or take all of its memory.

ONNX's checker lets some models pass that ONNX Runtime dies of, and others go to it unchecked, so
they are refused here, wherever a model is handed over. Where only a run can tell, the model itself
gets nodes that refuse it: `emptiness.py`, `division.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx

from gossamer.errors import UnsafeModelError
from gossamer.graphs.external_data import is_external, tensors
from gossamer.graphs.nodes import nodes
from gossamer.graphs.sparse_tensors import check_sparse
from gossamer.runtime import bounds, division, emptiness
from gossamer.runtime.guards import named

# Operators of which ONNX Runtime reads every input of a list, whether it has a name or not.
_LISTS = {"Max", "Min", "Sum", "Mean"}
# Those of which it writes every output, likewise.
_ALL_OUTPUTS = {"BatchNormalization", "Loop", "Split"}
# Numbers that it counts with before it looks at them.
_NOT_NEGATIVE = {("GatherND", "batch_dims")}
# Those that it divides by.
_NOT_ZERO = {("Conv", "group")}


def check(model: onnx.ModelProto) -> None:
    """Refuse a model that is not safe to hand over.

    Args:
        model: the model, or its outline.

    Raises:
        UnsafeModelError: that names the node or tensor.
    """
    bounds.check_functions(model)
    check_sparse(model, "the model")
    for node in nodes(model):
        _check_node(node)
    emptiness.check(model)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx"):
        return
    name = named(node)
    if node.op_type in _LISTS and "" in node.input:
        raise UnsafeModelError(f"{name} has an input without a name; export the model anew")
    if node.op_type in _ALL_OUTPUTS and "" in node.output:
        raise UnsafeModelError(f"{name} has an output without a name; export the model anew")
    for attribute in node.attribute:
        key = node.op_type, attribute.name
        if key == ("Split", "num_outputs") and attribute.i < len(node.output):
            raise UnsafeModelError(
                f"{name} has more outputs than its num_outputs; export the model anew"
            )
        if key in _NOT_NEGATIVE and attribute.i < 0:
            raise UnsafeModelError(
                f"{name} has the negative {attribute.name} {attribute.i}; export the model anew"
            )
        if key in _NOT_ZERO and attribute.i == 0:
            raise UnsafeModelError(f"{name} has the {attribute.name} 0; export the model anew")


def is_mendable(model: onnx.ModelProto) -> bool:
    """Whether `mend` would change a model."""
    return any(_left_out(node) for node in nodes(model))


def mend(model: onnx.ModelProto) -> None:
    """Leave out, in place, the last inputs that a model leaves out by an empty name.

    ONNX's text says that both mean the same; ONNX Runtime dies of a LayerNormalization whose bias
    is left out by name.
    """
    for node in nodes(model):
        for _ in range(_left_out(node)):
            node.input.pop()


def needs_guards(model: onnx.ModelProto) -> bool:
    """Whether a model is safe only with the nodes that `guard` puts in."""
    return emptiness.needs_guards(model) or division.needs_guards(model)


def guard(model: onnx.ModelProto, checked: Collection[str]) -> None:
    """Let a model refuse, in place, what ONNX Runtime would die of in a run.

    Args:
        model: the message.
        checked: inputs of it that have elements.
    """
    emptiness.guard(model, checked)
    division.guard(model)


def _left_out(node: onnx.NodeProto) -> int:
    """How many inputs at the end are left out by an empty name."""
    if node.domain not in ("", "ai.onnx") or node.op_type in _LISTS:
        return 0
    named = [index for index, name in enumerate(node.input) if name]
    return len(node.input) - (named[-1] + 1 if named else 0)


def check_external(model: onnx.ModelProto, given: Iterable[str]) -> None:
    """Refuse a model without a file whose weights lie in other files.

    Raises:
        UnsafeModelError: that names one of them.
    """
    known = set(given)
    for tensor in tensors(model):
        if is_external(tensor) and tensor.name not in known:
            # They would be looked for wherever this process happens to be.
            raise UnsafeModelError(
                f"tensor {tensor.name!r} lies in another file; give the path of the model instead"
            )
