"""What a node says is what it says again after a way through the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.protos import attributes_of, constant_array, to_proto

f32 = np.float32


def there_and_back(proto: onnx.NodeProto, opset: int = 17) -> dict[str, AttributeProto]:
    node = Node(
        proto.op_type,
        [Value(name) for name in proto.input],
        [Value(name) for name in proto.output],
        attributes_of(proto, opset),
        proto.domain,
        proto.name,
    )
    again = to_proto(node)
    assert (again.op_type, again.domain, again.input) == (proto.op_type, proto.domain, proto.input)
    return {attribute.name: attribute for attribute in again.attribute}


def of_every_kind() -> list[AttributeProto]:
    graph = helper.make_graph([], "inner", [], [])
    tensor = numpy_helper.from_array(np.arange(3, dtype=np.int8), "t")
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, f32), "s"), numpy_helper.from_array(np.array([1])), [3]
    )
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    full: dict[str, Any] = {
        "i": 3,
        "f": 0.1,
        "whole": 2.0,
        "s": "word",
        "t": tensor,
        "g": graph,
        "sparse": sparse,
        "kind": kind,
        "ints": [1, 2],
        "floats": [1.0, 2.0],
        "strings": ["a", "b"],
        "tensors": [tensor],
        "graphs": [graph],
        "kinds": [kind],
    }
    made = [helper.make_attribute(name, value) for name, value in full.items()]
    made.append(AttributeProto(name="bytes", type=AttributeProto.STRING, s=b"\xff\x00"))
    for word in ("INTS", "FLOATS", "STRINGS", "TENSORS", "GRAPHS", "SPARSE_TENSORS", "TYPE_PROTOS"):
        made.append(AttributeProto(name=f"no_{word}", type=getattr(AttributeProto, word)))
    return made


def test_attributes_of_other_operators_stay_as_they_are() -> None:
    proto = helper.make_node("Own", ["x"], ["y"], domain="own")
    proto.attribute.extend(of_every_kind())
    assert there_and_back(proto) == {attribute.name: attribute for attribute in proto.attribute}


def of_type(kind: Any, name: str, empty: bool) -> AttributeProto:
    types = AttributeProto.AttributeType
    some: dict[int, Any] = {
        types.INT: 2,
        types.FLOAT: 3.0,
        types.STRING: "word",
        types.TENSOR: numpy_helper.from_array(np.arange(3, dtype=np.uint16)),
        types.INTS: [1, 2],
        types.FLOATS: [1.0, 2.0],
        types.STRINGS: ["a", "b"],
        types.TYPE_PROTO: helper.make_tensor_type_proto(TensorProto.FLOAT, [2]),
        types.GRAPH: helper.make_graph([], "inner", [], []),
        types.SPARSE_TENSOR: onnx.SparseTensorProto(dims=[2]),
    }
    if empty and kind in (types.INTS, types.FLOATS, types.STRINGS):
        return AttributeProto(name=name, type=kind)
    return helper.make_attribute(name, some[kind])


@pytest.mark.parametrize("empty", [False, True])
def test_attributes_of_every_operator_in_every_version(empty: bool) -> None:
    """Empty lists are left out where they need not be there, and are as they were elsewhere."""
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain or schema.name == "Constant":
            continue
        proto = helper.make_node(schema.name, ["x"], ["y"])
        for name, formal in schema.attributes.items():
            proto.attribute.append(of_type(formal.type.value, name, empty))
        kept = {
            attribute.name: attribute
            for attribute in proto.attribute
            if attribute.ints
            or attribute.floats
            or attribute.strings
            or attribute.type
            not in (AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS)
            or schema.attributes[attribute.name].required
        }
        assert there_and_back(proto, schema.since_version) == kept, (schema.name, schema)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("LSTM", [(1, 20, 4), (1, 20, 5)], ("activation_alpha", "activation_beta", "activations")),
        ("ReduceSum", [], ("axes",)),
        ("ReduceL2", [], ("axes",)),
        ("Squeeze", [], ("axes",)),
        ("Unsqueeze", [], ("axes",)),
    ],
)
def test_an_empty_list_means_what_onnx_runtime_takes_it_for(
    agrees: Any, reference: Any, op: str, inputs: Any, attributes: Any
) -> None:
    x = np.random.default_rng(0).standard_normal((6, 1, 4)).astype(f32)
    names = [f"w{i}" for i in range(len(inputs))]
    more = {"hidden_size": 5} if op == "LSTM" else {}
    node = helper.make_node(op, ["x", *names], ["y"], **more)
    kinds = {"axes": AttributeProto.INTS, "activations": AttributeProto.STRINGS}
    for name in attributes:
        node.attribute.add(name=name, type=kinds.get(name, AttributeProto.FLOATS))
    weights = np.random.default_rng(1)
    graph = helper.make_graph(
        [node],
        "empty",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [
            numpy_helper.from_array(weights.standard_normal(shape).astype(f32), name)
            for name, shape in zip(names, inputs, strict=True)
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    (y,) = reference(proto, {"x": x})
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, y.shape)
    proto.graph.output[0].type.CopyFrom(kind)
    agrees(proto, {"x": x}, native=op != "LSTM")


def test_a_constant_of_words() -> None:
    one = helper.make_node("Constant", [], ["y"], value_string="a")
    several = helper.make_node("Constant", [], ["y"], value_strings=["a", "bc"])
    none = helper.make_node("Constant", [], ["y"])
    none.attribute.add(name="value_strings", type=AttributeProto.STRINGS)
    for proto, expected in ((one, "a"), (several, ["a", "bc"]), (none, [])):
        array = constant_array(proto)
        assert array.dtype == object
        assert array.tolist() == expected


def test_an_attribute_of_a_function_that_it_is_not_in_is_refused() -> None:
    proto = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    proto.attribute[0].ref_attr_name = "slope"
    with pytest.raises(ModelError, match="'alpha' stands for 'slope' of a function"):
        attributes_of(proto, 17)
