"""What no engine may be given: models that would end the process, or take all of its memory.

ONNX's checker lets some models pass that ONNX Runtime dies of, and others go to it unchecked, so
they are refused here, wherever a model is handed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from gossamer.errors import DataError, UnsafeModelError
from gossamer.graphs.external_data import is_external, tensors
from gossamer.graphs.nodes import graphs, nodes
from gossamer.graphs.sparse_tensors import check_sparse
from gossamer.runtime import bounds

# Operators of which ONNX Runtime reads every input of a list, whether it has a name or not.
_LISTS = {"Max", "Min", "Sum", "Mean"}
# Those of which it writes every output, likewise.
_ALL_OUTPUTS = {"BatchNormalization", "Loop", "Split"}
# Numbers that it counts with before it looks at them.
_NOT_NEGATIVE = {("GatherND", "batch_dims")}
# Those that it divides by.
_NOT_ZERO = {("Conv", "group")}
# Inputs of operators, by their places, and axes of them: of size 0 they end the process, or it
# never ends (a kernel without elements).
_NOT_EMPTY = {
    ("CausalConvWithState", 1): slice(None),
    ("Conv", 1): slice(2, None),
    ("ConvTranspose", 1): slice(2, None),
    ("GRU", 0): slice(0, 2),
    ("LSTM", 0): slice(1, 2),
    ("STFT", 2): slice(None),
}
# Likewise, of the axes behind the one that an attribute names, if it does.
_NOT_EMPTY_BEHIND = {("Unique", 0): "axis"}


@dataclass(frozen=True)
class NotEmpty:
    """What a node must have elements of."""

    node: str
    value: str
    """The name of an input of the model or of a constant; empty for what is made of inputs, all of
    which must have elements then."""
    axes: slice
    """The axes along which there must be some."""


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
    graph_inputs = {info.name: _declared(info) for info in model.graph.input}
    weights = {t.name: tuple(t.dims) for graph in graphs(model) for t in graph.initializer}
    found = _first_empty(_not_empty(model, {*graph_inputs, *weights}), {**graph_inputs, **weights})
    if found:
        raise UnsafeModelError(f"{found[1]}, of which ONNX Runtime dies; export the model anew")


def fed(model: onnx.ModelProto) -> list[NotEmpty]:
    """What must have elements in a run, where feeds decide whether it has."""
    weights = {t.name for graph in graphs(model) for t in graph.initializer}
    inputs = {info.name for info in model.graph.input}
    return [one for one in _not_empty(model, inputs | weights) if one.value not in weights - inputs]


def check_feeds(needed: Sequence[NotEmpty], feeds: Mapping[str, Any]) -> None:
    """Refuse feeds that leave a node nothing of what it must have elements of.

    Args:
        needed: what `fed` gives.
        feeds: by name; what is no array has the shape of one.

    Raises:
        DataError: that names the input and the node.
    """
    shapes = {name: np.shape(given) for name, given in feeds.items()} if needed else {}
    found = _first_empty(needed, shapes)
    if found:
        name, reason = found
        raise DataError(
            f"input {name!r} of shape {list(shapes[name])}: {reason}, of which ONNX Runtime dies; "
            "give at least one along each axis"
        )


def _not_empty(model: onnx.ModelProto, stated: Collection[str]) -> list[NotEmpty]:
    found = []
    for node in nodes(model):
        for place, name in enumerate(node.input):
            axes = _must_have_elements(node, place)
            if axes is None or not name or node.domain not in ("", "ai.onnx"):
                continue
            if name in stated:
                found.append(NotEmpty(_named(node), name, axes))
            elif place == 0:
                found.append(NotEmpty(_named(node), "", slice(None)))
    return found


def _must_have_elements(node: onnx.NodeProto, place: int) -> slice | None:
    """Along which axes the input at a place must not be empty; None if it may be."""
    named = _NOT_EMPTY_BEHIND.get((node.op_type, place))
    for attribute in node.attribute:
        # Behind the last axis is none.
        if attribute.name == named and attribute.i != -1:
            return slice(attribute.i + 1, None)
    return _NOT_EMPTY.get((node.op_type, place))


def _first_empty(
    needed: Sequence[NotEmpty], shapes: Mapping[str, Sequence[int]]
) -> tuple[str, str] | None:
    """The first name of a shape that leaves a node nothing, and what to say of it."""
    for one in needed:
        for name in [one.value] if one.value else shapes:
            if 0 in shapes.get(name, ())[one.axes]:
                return name, f"{one.node} has no elements of {name!r} to run on"
    return None


def _declared(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The sizes that a model states of an input, 1 for those that are open."""
    sizes = info.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else 1 for size in sizes)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx"):
        return
    named = _named(node)
    if node.op_type in _LISTS and "" in node.input:
        raise UnsafeModelError(f"{named} has an input without a name; export the model anew")
    if node.op_type in _ALL_OUTPUTS and "" in node.output:
        raise UnsafeModelError(f"{named} has an output without a name; export the model anew")
    for attribute in node.attribute:
        key = node.op_type, attribute.name
        if key == ("Split", "num_outputs") and attribute.i < len(node.output):
            raise UnsafeModelError(
                f"{named} has more outputs than its num_outputs; export the model anew"
            )
        if key in _NOT_NEGATIVE and attribute.i < 0:
            raise UnsafeModelError(
                f"{named} has the negative {attribute.name} {attribute.i}; export the model anew"
            )
        if key in _NOT_ZERO and attribute.i == 0:
            raise UnsafeModelError(f"{named} has the {attribute.name} 0; export the model anew")


def _named(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


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
