"""The prunable layers of an ONNX model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from gossamer.models.adapter import Layer

_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
}


@dataclass(frozen=True)
class Use:
    """A node that multiplies by a layer's weight; `inputs` names its other operand."""

    node: onnx.NodeProto
    inputs: str


@dataclass
class OnnxLayer:
    """A layer with the tensor that holds its weight.

    Attributes:
        tensor: an initializer, or the value of a Constant node.
        transposed: the tensor is `[columns, rows]`.
        uses: more than one if nodes share the weight.
    """

    layer: Layer
    tensor: onnx.TensorProto
    transposed: bool
    uses: list[Use] = field(default_factory=list)


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the model's tensors by the name under which nodes read them.

    These are the initializers and the tensors of Constant nodes, also behind Identity.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = attribute.t
        elif node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    return tensors


def find_layers(model: onnx.ModelProto) -> list[OnnxLayer]:
    """Return MatMul, Gemm and Conv nodes with constant floating-point weights, in graph order.

    The weight of a MatMul is its second operand, a matrix. A weight that several nodes share is
    one layer, named after the first of them. A layer bears its node's name where that is unique,
    else the name of what it multiplies by.
    """
    tensors = constants(model.graph)
    names = Counter(node.name for node in model.graph.node)
    found: dict[int, OnnxLayer] = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv") or node.domain not in ("", "ai.onnx"):
            continue
        tensor = tensors.get(node.input[1])
        if tensor is None or tensor.data_type not in _FLOATS or node.input[0] in tensors:
            continue
        name = node.name if node.name and names[node.name] == 1 else node.input[1]
        described = _describe(node, name, tensor)
        if described is None:
            continue
        layer, transposed = described
        known = found.setdefault(id(tensor), OnnxLayer(layer, tensor, transposed))
        if known.transposed == transposed and known.layer.groups == layer.groups:
            known.uses.append(Use(node, node.input[0]))
    return _with_blocks(list(found.values()))


def name_uses(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a name of its own for each node that uses a layer's weight.

    Those that compile a model tell of its nodes by their names. Where all have one already, it is
    the given model itself, else a copy, in which the layers keep their names.
    """
    names = Counter(node.name for node in model.graph.node)
    uses = [use for found in find_layers(model) for use in found.uses]
    if all(use.node.name and names[use.node.name] == 1 for use in uses):
        return model
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for found in find_layers(named):
        for number, use in enumerate(found.uses):
            if not use.node.name or names[use.node.name] > 1:
                use.node.name = f"{found.layer.name}#{number}" if number else found.layer.name
    return named


def _describe(
    node: onnx.NodeProto, name: str, tensor: onnx.TensorProto
) -> tuple[Layer, bool] | None:
    """Return the layer that a node computes and whether its weight is stored transposed."""
    dims = tuple(tensor.dims)
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    kind: Literal["linear", "convolution"] = "linear"
    if node.op_type == "Conv":
        if len(dims) not in (3, 4):
            return None
        groups = int(attribute(node, "group", 1))
        columns = int(np.prod(dims[1:]))
        layer = Layer(
            name,
            "convolution",
            rows=dims[0],
            columns=columns,
            groups=groups,
            depthwise=groups > 1 and dims[1] == 1,
            kernel=dims[2:],
            itemsize=itemsize,
        )
        return layer, False
    if len(dims) != 2 or (node.op_type == "Gemm" and attribute(node, "transA", 0)):
        return None
    if node.op_type == "Gemm" and attribute(node, "transB", 0):
        return Layer(name, kind, rows=dims[0], columns=dims[1], itemsize=itemsize), False
    return Layer(name, kind, rows=dims[1], columns=dims[0], itemsize=itemsize), True


def _with_blocks(layers: list[OnnxLayer]) -> list[OnnxLayer]:
    """Fill in `Layer.block` from the names: a numbered part that holds several layers."""
    numbered = re.compile(r"^.*?[./]\d+(?=[./])")
    holders = {
        found.layer.name: match[0]
        for found in layers
        if (match := numbered.match(found.layer.name))
    }
    members = Counter(holders.values())
    for found in layers:
        block = holders.get(found.layer.name)
        if block is not None and members[block] > 1:
            found.layer = replace(found.layer, block=block)
    return layers


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, or the default where it has none."""
    for given in node.attribute:
        if given.name == name:
            value = onnx.helper.get_attribute_value(given)
            return value.decode() if isinstance(value, bytes) else value
    return default


def read(tensor: onnx.TensorProto) -> np.ndarray[Any, Any]:
    """Return a tensor's values in float32."""
    return np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)


def write(tensor: onnx.TensorProto, values: np.ndarray[Any, Any]) -> None:
    """Replace a tensor's values, keeping its name, shape and precision."""
    precision = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    array = np.ascontiguousarray(values.reshape(tuple(tensor.dims)).astype(precision))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def operands(node: onnx.NodeProto) -> Iterator[str]:
    """Yield every value that a node reads, those that its subgraphs take from outside included."""
    yield from (name for name in node.input if name)
    for given in node.attribute:
        for graph in [given.g, *given.graphs] if given.HasField("g") or given.graphs else ():
            inner = {value.name for value in graph.input}
            inner |= {tensor.name for tensor in graph.initializer}
            for member in graph.node:
                yield from (name for name in operands(member) if name not in inner)
                inner.update(member.output)
