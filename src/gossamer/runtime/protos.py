"""Nodes, attributes and tensors, from ONNX's form to the graph's and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim, Size
from gossamer.graphs.nodes import subgraphs
from gossamer.graphs.operation import Array
from gossamer.graphs.sparse_tensors import unfold
from gossamer.graphs.tensors import tensor_array
from gossamer.runtime.graph import Node, Value

_NUMBERS = (onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT)
_LISTS = (
    onnx.AttributeProto.INTS,
    onnx.AttributeProto.FLOATS,
    onnx.AttributeProto.STRINGS,
)


def attributes_of(proto: onnx.NodeProto, opset: int) -> dict[str, Any]:
    """A node's attributes by name, for `Node.attributes`.

    Those of ONNX's own operators are as Python holds them: numbers, words, lists, arrays. An empty
    list that need not be there is as if it were not, as ONNX Runtime has it. Of other operators
    nobody reads any, and what Python would make of them has no type where it is empty: they stay
    as they are.
    """
    if proto.domain not in ("", "ai.onnx"):
        return {attribute.name: attribute for attribute in proto.attribute}
    found = {attribute.name: attribute_value(attribute) for attribute in proto.attribute}
    empty = [name for name, value in found.items() if isinstance(value, list) and not value]
    for name in empty:
        formal = _formal(proto.op_type, name, opset)
        if formal is not None and not formal.required:
            del found[name]
    return found


def _formal(op: str, name: str, opset: int) -> Any:
    """What an operator set says of an attribute, None if nothing."""
    try:
        return onnx.defs.get_schema(op, opset).attributes.get(name)
    except onnx.defs.SchemaError:
        return None


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """A number, word, list or array; any other attribute, such as a graph, as it is.

    Raises:
        ModelError: if it stands for an attribute of a function that it is not in.
    """
    if attribute.ref_attr_name:
        raise ModelError(
            f"attribute {attribute.name!r} stands for {attribute.ref_attr_name!r} of a function "
            "that it is not in; export the model anew"
        )
    if attribute.type == onnx.AttributeProto.TENSOR:
        return tensor_array(attribute.t)
    if attribute.type == onnx.AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type in _NUMBERS:
        return helper.get_attribute_value(attribute)
    if attribute.type in _LISTS:
        return list(helper.get_attribute_value(attribute))
    return attribute


def to_proto(node: Node) -> onnx.NodeProto:
    """The ONNX form of a node that no pass has changed."""
    count = len(node.inputs) - len(node.attributes.get("captured", ()))
    proto = onnx.NodeProto(op_type=node.op, domain=node.domain, name=node.name)
    proto.input.extend(value.name if value is not None else "" for value in node.inputs[:count])
    proto.output.extend(value.name for value in node.outputs)
    for name, value in node.attributes.items():
        if name == "captured":
            continue
        if isinstance(value, onnx.AttributeProto):
            proto.attribute.append(value)
        elif isinstance(value, np.ndarray):
            proto.attribute.append(helper.make_attribute(name, numpy_helper.from_array(value)))
        elif isinstance(value, list) and not value:
            # One that must be there, as the axes of an Unsqueeze: its type is always the same.
            versions = range(1, onnx.defs.onnx_opset_version() + 1)
            formal = next(filter(None, (_formal(node.op, name, v) for v in versions)), None)
            kind = formal.type.value if formal is not None else onnx.AttributeProto.INTS
            proto.attribute.add(name=name, type=kind)
        else:
            proto.attribute.append(helper.make_attribute(name, value))
    return proto


def captured_by(proto: onnx.NodeProto) -> list[str]:
    """Names that a node's inner graphs take from around it."""
    found: list[str] = []
    for inner in subgraphs(proto):
        made = {info.name for info in inner.input} | {t.name for t in inner.initializer}
        for node in inner.node:
            found += [name for name in [*node.input, *captured_by(node)] if name not in made]
            made.update(node.output)
        found += [info.name for info in inner.output if info.name not in made]
    return list(dict.fromkeys(name for name in found if name))


_PLACEHOLDERS = {"?", "-1", "*", "None", "none", "null", "unknown", "dynamic"}


def declared_value(info: onnx.ValueInfoProto) -> Value:
    """A value of the type and shape that the model states."""
    if not info.type.HasField("tensor_type"):
        return Value(info.name)
    tensor = info.type.tensor_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, TypeError):
        return Value(info.name)
    if not tensor.HasField("shape"):
        return Value(info.name, dtype)
    shape: list[Size] = []
    for axis, size in enumerate(tensor.shape.dim):
        if size.HasField("dim_value") and size.dim_value >= 0:
            shape.append(size.dim_value)
            continue
        # A size below 0 is open as well, and a placeholder says nothing of other axes of its name.
        named = "" if size.dim_param in _PLACEHOLDERS else size.dim_param
        shape.append(Dim.symbol(named or f"{info.name}.{axis}"))
    return Value(info.name, dtype, tuple(shape))


def sparse_array(sparse: onnx.SparseTensorProto) -> Array:
    """A sparse tensor with all its zeros.

    Raises:
        ModelError: if it points outside itself, or is not numeric.
    """
    array = unfold(sparse, sparse.values.name, "the model")
    if array.dtype.kind not in "fiub":
        raise ModelError(
            f"sparse tensor {sparse.values.name!r} is not numeric; export the model anew"
        )
    return array


def constant_array(proto: onnx.NodeProto) -> Array:
    """The elements that a Constant node gives."""
    if len(proto.attribute) != 1:
        raise ModelError(f"constant {proto.output[0]!r} has not one value; export the model anew")
    (attribute,) = proto.attribute
    if attribute.name == "sparse_value":
        return sparse_array(attribute.sparse_tensor)
    value = attribute_value(attribute)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    if attribute.name == "value_strings":
        return np.asarray([word.decode("utf-8", "replace") for word in value], object)
    return np.asarray(value, object if isinstance(value, str) else None)
