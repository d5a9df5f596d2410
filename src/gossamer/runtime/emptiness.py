"""Operators that end ONNX Runtime's process where there are no elements to run on.

Where the feeds alone decide whether there are, they are looked at before a run. Where nodes may
take all elements away (a Slice does), the model gets nodes that refuse to go on without any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from gossamer.errors import DataError, UnsafeModelError
from gossamer.graphs.external_data import is_external
from gossamer.graphs.nodes import held_tensors, initializers, subgraphs, with_inner
from gossamer.graphs.tensors import tensor_array
from gossamer.runtime.guards import Guard, named

_MOST_AXES = 64

# Inputs of operators, by their places, and axes of them: of size 0 they end the process, or it
# never ends (a kernel without elements).
_NOT_EMPTY = {
    ("CausalConvWithState", 1): slice(None),
    ("Conv", 1): slice(2, None),
    ("ConvTranspose", 0): slice(2, None),
    ("ConvTranspose", 1): slice(2, None),
    ("GRU", 0): slice(None),
    ("InstanceNormalization", 0): slice(2, None),
    ("LSTM", 0): slice(1, 2),
    ("STFT", 2): slice(None),
}
# Likewise, of the axes behind the one that an attribute names, if it does.
_NOT_EMPTY_BEHIND = {("Unique", 0): "axis"}

# Operators that give elements wherever each of their inputs has some.
_GIVES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization BitShift "
    "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Concat Conv "
    "ConvInteger Cos Cosh CumSum DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf "
    "Exp Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool "
    "Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity "
    "InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log "
    "LogSoftmax LpNormalization LSTM MatMul MatMulInteger Max Mean MeanVarianceNormalization Min "
    "Mish Mod Mul Neg Not Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization "
    "RNN Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Scatter ScatterElements ScatterND "
    "Selu Shrink Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign Sqrt Squeeze Sub Sum Swish "
    "Tan Tanh ThresholdedRelu Transpose Trilu Unsqueeze Where Xor"
)


@dataclass(frozen=True)
class NotEmpty:
    """What a node must have elements of."""

    node: str
    value: str
    """The name of an input of the model."""
    axes: slice
    """The axes along which there must be some."""


@dataclass(frozen=True)
class _Need:
    """An input of a node that must have elements."""

    node: onnx.NodeProto
    place: int
    axes: slice

    @property
    def value(self) -> str:
        name: str = self.node.input[self.place]
        return name

    @property
    def by(self) -> str:
        return named(self.node)


def check(model: onnx.ModelProto) -> None:
    """Refuse a model that states an input or a weight without elements where there must be some.

    Raises:
        UnsafeModelError: that names the node.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in initializers(model)}
    shapes |= {info.name: _declared(info) for info in model.graph.input}
    for need in _needs(with_inner(model.graph.node)):
        if 0 in shapes.get(need.value, ())[need.axes]:
            reason = _reason(need.by, need.value)
            raise UnsafeModelError(f"{reason}, of which ONNX Runtime dies; export the model anew")


def fed(model: onnx.ModelProto) -> list[NotEmpty]:
    """What must have elements in a run, where feeds decide whether it has."""
    found = []
    sources = _Sources(model)
    for need in _needs(with_inner(model.graph.node)):
        if need.value in sources.inputs:
            found.append(NotEmpty(need.by, need.value, need.axes))
        else:
            of = sources.of(need.value) or ()
            found += [NotEmpty(need.by, name, slice(None)) for name in of]
    return found


def check_feeds(needed: Sequence[NotEmpty], feeds: Mapping[str, Any]) -> None:
    """Refuse feeds that leave a node nothing of what it must have elements of.

    Args:
        needed: what `fed` gives.
        feeds: by name; what is no array has the shape of one.

    Raises:
        DataError: that names the input and the node.
    """
    for one in needed:
        shape = np.shape(feeds[one.value]) if one.value in feeds else ()
        if 0 in shape[one.axes]:
            raise DataError(
                f"input {one.value!r} of shape {list(shape)}: {_reason(one.node, one.value)}, of "
                "which ONNX Runtime dies; give at least one along each axis"
            )


def needs_guards(model: onnx.ModelProto) -> bool:
    """Whether nodes may be left without elements though the inputs have what `fed` says."""
    sources = _Sources(model)
    called = (node for function in model.functions for node in with_inner(function.node))
    return next(_needs(called), None) is not None or any(
        not sources.are_checked(need.value) for need in _needs(with_inner(model.graph.node))
    )


def guard(model: onnx.ModelProto, checked: Collection[str]) -> None:
    """Let a model refuse, in place, to run nodes on nothing; `guards.refusal` tells of it.

    Args:
        model: the message.
        checked: inputs of it that have elements.
    """
    sources = _Sources(model, checked)
    _guard(model.graph.node, model.opset_import, sources.are_checked)
    for function in model.functions:
        # Who calls it may give it anything. ONNX Runtime goes by the model's operator sets.
        _guard(function.node, model.opset_import, lambda name: False)


def _needs(nodes: Iterator[onnx.NodeProto]) -> Iterator[_Need]:
    for node in nodes:
        if node.domain in ("", "ai.onnx"):
            for place, name in enumerate(node.input):
                axes = _axes(node, place) if name else None
                if axes is not None:
                    yield _Need(node, place, axes)


def _axes(node: onnx.NodeProto, place: int) -> slice | None:
    """Along which axes the input at a place must not be empty; None if it may be."""
    behind = _NOT_EMPTY_BEHIND.get((node.op_type, place))
    for attribute in node.attribute:
        # Behind the last axis is none.
        if attribute.name == behind and attribute.i != -1:
            return slice(attribute.i + 1, None)
    return _NOT_EMPTY.get((node.op_type, place))


def _reason(node: str, value: str) -> str:
    return f"{node} has no elements of {value!r} to run on"


def _declared(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The sizes that a model states of an input, 1 for those that are open."""
    sizes = info.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else 1 for size in sizes)


class _Sources:
    """What the values of a model are made of."""

    def __init__(self, model: onnx.ModelProto, inputs: Collection[str] | None = None) -> None:
        given = {info.name for info in model.graph.input}
        self.inputs = given if inputs is None else inputs
        self._weights = {tensor.name for tensor in initializers(model)}
        self._held = held_tensors(model)
        self._makers: dict[str, list[onnx.NodeProto]] = {}
        for node in with_inner(model.graph.node):
            for name in node.output:
                self._makers.setdefault(name, []).append(node)

    def of(self, name: str) -> set[str] | None:
        """The inputs that must have elements for a value to have some; None if that is not all."""
        found: set[str] = set()
        seen, left = {name}, [name]
        while left:
            one = left.pop()
            if one in self.inputs:
                found.add(one)
            elif one in self._held:
                if 0 in self._held[one].dims:
                    return None
            elif one in self._makers:
                for node in self._makers[one]:
                    needed = self._needed(node)
                    if needed is None:
                        return None
                    left += [taken for taken in needed if taken not in seen]
                    seen.update(needed)
            else:
                return None
        return found

    def are_checked(self, name: str) -> bool:
        """Whether `check` and `check_feeds` tell that a value has elements."""
        return name in self._weights or self.of(name) is not None

    def _needed(self, node: onnx.NodeProto) -> list[str] | None:
        """The inputs that must have elements for a node to give some; None if that is not all."""
        if node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type in ("Pad", "Resize", "Upsample"):
            return [node.input[0]] if self._only_grows(node) else None
        return [name for name in node.input if name] if node.op_type in _GIVES.split() else None

    def _only_grows(self, node: onnx.NodeProto) -> bool:
        """Whether a node takes nothing away from any axis, by numbers that the model holds."""
        name, least = ("pads", 0) if node.op_type == "Pad" else ("scales", 1)
        for attribute in node.attribute:
            if attribute.name == name:
                return all(number >= least for number in (*attribute.ints, *attribute.floats))
        # A Resize has had its scales behind a region since operator set 11.
        place = 2 if node.op_type == "Resize" and len(node.input) > 2 else 1
        tensor = self._held.get(node.input[place]) if place < len(node.input) else None
        if tensor is None or is_external(tensor) or not 0 < math.prod(tensor.dims) <= _MOST_AXES:
            return False
        return bool((tensor_array(tensor) >= least).all())


def _guard(
    nodes: MutableSequence[onnx.NodeProto],
    opsets: Sequence[onnx.OperatorSetIdProto],
    is_checked: Callable[[str], bool],
) -> None:
    opset = max((item.version for item in opsets if item.domain in ("", "ai.onnx")), default=0)
    for position in reversed(range(len(nodes))):
        node = nodes[position]
        for graph in subgraphs(node):
            _guard(graph.node, opsets, is_checked)
        for need in list(_needs(iter([node]))):
            if is_checked(need.value):
                continue
            made = _guards(need, opset)
            node.input[need.place] = made[-1].output[0]
            for other in reversed(made):
                nodes.insert(position, other)


def _guards(need: _Need, opset: int) -> list[onnx.NodeProto]:
    """Nodes that give a value as it is, or fail where an axis that must not be empty is."""
    made = Guard(need.node, f"some{need.place}")
    shape = sizes = made.add("Shape", need.value)
    if need.axes != slice(None):
        start, end = need.axes.start or 0, need.axes.stop or _MOST_AXES
        if opset < 10:
            sizes = made.add("Slice", shape, starts=[start], ends=[end])
        else:
            sizes = made.add("Slice", shape, made.number(start), made.number(end))
    empty = made.add("Equal", sizes, made.number(0))
    count = made.add("ReduceSum", made.add("Cast", empty, to=onnx.TensorProto.INT64))
    # With one more along each axis there would be some, and Reshape refuses to make them.
    reason = f"{_reason(need.by, need.value)}, of which ONNX Runtime dies; leave it some"
    made.add("Reshape", need.value, made.add("Add", shape, count), refusing=reason)
    return made.nodes
