"""The inputs and outputs of a model, described as ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx
from onnx import TensorProto, helper

from gossamer.graphs.check import check_value_names
from gossamer.graphs.dims import Dim
from gossamer.graphs.operation import Array
from gossamer.runtime.graph import Value

# Since this version of the format an initializer that is listed among the inputs is a default.
_FIRST_WITH_DEFAULTS = 4
_TYPE_NAMES = {TensorProto.FLOAT: "float", TensorProto.DOUBLE: "double"}

Sizes: TypeAlias = "Mapping[str, Mapping[int, int]]"
"""Sizes by input and axis."""


@dataclass(frozen=True)
class Port:
    """An input or output of a session, described as ONNX Runtime does."""

    name: str
    shape: list[int | str | None]
    """A word or None for a size that is open; no sizes where the model states none."""
    type: str
    """Such as `tensor(float)` or `seq(tensor(int64))`; empty where the model does not state it."""

    @property
    def is_tensor(self) -> bool:
        """Whether it is one array."""
        return self.type.startswith("tensor(")


@dataclass(frozen=True)
class Ports:
    """What a model takes and gives."""

    inputs: list[Port]
    outputs: list[Port]
    defaults: list[Port]
    """Inputs that are initializers too, and need not be fed."""


def declared(model: onnx.ModelProto, given: Collection[str] = ()) -> Ports:
    """The ports as the model states them.

    Args:
        model: the model, or its outline.
        given: names of initializers that the model lacks.

    Raises:
        ModelError: if a name is no text.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer} | set(given)
    constants |= {sparse.values.name for sparse in graph.sparse_initializer}
    may_override = model.ir_version >= _FIRST_WITH_DEFAULTS
    for info in (*graph.input, *graph.output):
        check_value_names(info)
    return Ports(
        [_port(info) for info in graph.input if info.name not in constants],
        [_port(info) for info in graph.output],
        [_port(info) for info in graph.input if info.name in constants and may_override],
    )


def observed(name: str, array: Array) -> Port:
    """An input or output as one array of it shows: its first axis is taken to be open."""
    kind = type_name(helper.np_dtype_to_tensor_dtype(array.dtype))
    return Port(name, [None, *array.shape[1:]][: array.ndim], f"tensor({kind})")


def fix_sizes(model: onnx.ModelProto, sizes: Sizes) -> None:
    """Let a model, or its outline, state sizes of its inputs that it leaves open."""
    for info in model.graph.input:
        for axis, size in sizes.get(info.name, {}).items():
            info.type.tensor_type.shape.dim[axis].dim_value = size


def merged(stated: Port, inferred: Value) -> Port:
    """An output as the model states it, and where it does not as inferred from its inputs."""
    kind = stated.type
    if not kind and inferred.dtype is not None:
        kind = f"tensor({type_name(helper.np_dtype_to_tensor_dtype(inferred.dtype))})"
    if inferred.shape is None or (stated.type and not stated.is_tensor):
        return Port(stated.name, stated.shape, kind)
    found = [_symbol(size) if isinstance(size, Dim) else int(size) for size in inferred.shape]
    if len(stated.shape) != len(found):
        return Port(stated.name, [*found], kind)
    pairs = zip(stated.shape, found, strict=True)
    return Port(stated.name, [_merged_size(one, other) for one, other in pairs], kind)


def _merged_size(stated: int | str | None, found: int | str | None) -> int | str | None:
    if isinstance(found, int):
        return None if isinstance(stated, int) and stated != found else found
    return found if stated is None else stated


def _symbol(size: Dim) -> str | None:
    """The word for an open size, None for one that is computed or that the model does not name."""
    (name, *others) = size.symbols
    named = not others and size == Dim.symbol(name) and "." not in name
    return name if named else None


def _port(info: onnx.ValueInfoProto) -> Port:
    tensor = info.type
    while tensor.WhichOneof("value") == "optional_type":
        tensor = tensor.optional_type.elem_type
    shape: list[int | str | None] = []
    if tensor.WhichOneof("value") in ("tensor_type", "sparse_tensor_type"):
        kind = getattr(tensor, str(tensor.WhichOneof("value")))
        shape = [_size(size) for size in kind.shape.dim]
    return Port(info.name, shape, _type(info.type))


def _size(size: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if size.HasField("dim_value"):
        # Some exporters write -1 for what is open.
        return size.dim_value if size.dim_value >= 0 else None
    return size.dim_param or None


def _type(found: onnx.TypeProto) -> str:
    kind = found.WhichOneof("value")
    if kind == "tensor_type":
        return f"tensor({type_name(found.tensor_type.elem_type)})"
    if kind == "sparse_tensor_type":
        return f"sparse_tensor({type_name(found.sparse_tensor_type.elem_type)})"
    if kind == "sequence_type":
        return f"seq({_type(found.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({_type(found.optional_type.elem_type)})"
    if kind == "map_type":
        key = type_name(found.map_type.key_type)
        return f"map({key},{_type(found.map_type.value_type)})"
    return ""


def type_of(port: Any) -> onnx.TypeProto:
    """The type of what a session of ONNX Runtime takes or gives, from its description.

    Where that has no sizes, it may be a scalar or of any shape.
    """
    return _parsed(port.type, port.shape or None)


def _parsed(words: str, shape: Sequence[int | str | None] | None) -> onnx.TypeProto:
    """The type that words such as `tensor(float)` stand for.

    Raises:
        ValueError: if they stand for none.
    """
    found = onnx.TypeProto()
    kind, _, rest = words.partition("(")
    inner = rest.removesuffix(")")
    if kind in ("tensor", "sparse_tensor"):
        make = helper.make_tensor_type_proto
        if kind == "sparse_tensor":
            make = helper.make_sparse_tensor_type_proto
        found.CopyFrom(make(_type_number(inner), shape))
    elif kind == "seq":
        found.sequence_type.elem_type.CopyFrom(_parsed(inner, None))
    elif kind == "optional":
        found.optional_type.elem_type.CopyFrom(_parsed(inner, shape))
    elif kind == "map":
        key, _, value = inner.partition(",")
        found.map_type.key_type = _type_number(key)
        found.map_type.value_type.CopyFrom(_parsed(value, None))
    else:
        raise ValueError(f"no type {words!r}")
    return found


def _type_number(name: str) -> int:
    numbers = {type_name(number): int(number) for number in TensorProto.DataType.values()}
    if name not in numbers:
        raise ValueError(f"no element type {name!r}")
    return numbers[name]


def type_name(number: int) -> str:
    """The word for an element type's number in ONNX, as ONNX Runtime says it."""
    if number in _TYPE_NAMES:
        return _TYPE_NAMES[number]
    known = {value: name for name, value in TensorProto.DataType.items()}
    return str(known.get(number, "undefined")).lower()
