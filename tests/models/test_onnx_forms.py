"""Each operator that multiplies by a weight: its rows are the outputs, and its inputs are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from gossamer.models import open_model
from gossamer.pruning import sparsify

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
ROWS = slice(None)


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def network(
    nodes: list[onnx.NodeProto], x: Array, output: str = "y", **tensors: Array
) -> tuple[onnx.ModelProto, Array]:
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, [None, *x.shape[1:]])],
        [onnx.ValueInfoProto(name=output)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), x


def one(operator: str, inputs: str, x: Array, w: Array, **given: Any) -> Any:
    domain = given.pop("domain", "")
    node = helper.make_node(operator, inputs.split(), ["y"], "node", domain=domain, **given)
    return network([node], x, w=w)


def run(model: onnx.ModelProto, x: Array) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"x": x})[0])


MICROSOFT = "com.microsoft"
# By name: the model with its input, the layer's shape and groups, where its first row comes out.
FORMS = {
    "a product": (one("MatMul", "x w", floats(3, 5, 8), floats(8, 6)), (6, 8, 1), (..., 0)),
    "by one stacked matrix": (
        one("MatMul", "x w", floats(3, 5, 8), floats(1, 8, 6)),
        (6, 8, 1),
        (..., 0),
    ),
    "by a matrix an expert": (
        one("MatMul", "x w", floats(3, 4, 5, 8), floats(4, 8, 6)),
        (24, 8, 4),
        (ROWS, 0, ROWS, 0),
    ),
    "by experts that share inputs": (
        one("MatMul", "x w", floats(1, 5, 8), floats(4, 8, 6)),
        (24, 8, 4),
        (0, ROWS, 0),
    ),
    "of a weight and inputs": (
        one("MatMul", "w x", floats(3, 8, 5), floats(6, 8)),
        (6, 8, 1),
        (ROWS, 0),
    ),
    "fused": (
        one("FusedMatMul", "x w", floats(3, 8), floats(6, 8), transB=1, domain=MICROSOFT),
        (6, 8, 1),
        (..., 0),
    ),
    "fused with what follows": (
        one("FusedGemm", "x w", floats(3, 8), floats(8, 6), activation="Relu", domain=MICROSOFT),
        (6, 8, 1),
        (..., 0),
    ),
    "a 3-d convolution": (
        one("Conv", "x w", floats(2, 4, 5, 5, 5), floats(6, 2, 3, 3, 3), group=2),
        (6, 54, 2),
        (ROWS, 0),
    ),
    "a transposed convolution": (
        one("ConvTranspose", "x w", floats(2, 4, 5, 5), floats(4, 3, 2, 2), group=2),
        (6, 8, 2),
        (ROWS, 0),
    ),
    "an embedding": (
        one("Gather", "w x", np.zeros((2, 3), np.int64), floats(9, 4)),
        (9, 4, 1),
        (),
    ),
    "an Einsum": (
        one("Einsum", "x w", floats(2, 5, 8), floats(8, 2, 3), equation="bsd,dhk->bshk"),
        (6, 8, 1),
        (..., 0, 0),
    ),
    "an Einsum by experts": (
        one("Einsum", "w x", floats(4, 5, 8), floats(4, 8, 6), equation="edf,ebd->ebf"),
        (24, 8, 4),
        (0, ROWS, 0),
    ),
}


@pytest.mark.parametrize(("given", "shape", "first"), FORMS.values(), ids=FORMS)
def test_a_weight_is_a_matrix_whose_rows_are_the_outputs(
    given: tuple[onnx.ModelProto, Array], shape: tuple[int, int, int], first: tuple[Any, ...]
) -> None:
    model, x = given
    adapter = open_model(model).copy()
    (layer,) = adapter.layers()
    assert (layer.rows, layer.columns, layer.groups) == shape
    assert layer.name == "node" and adapter.left_out() == []
    before = run(model, x)
    weight = adapter.weight("node")
    adapter.set_weight("node", weight)
    np.testing.assert_array_equal(run(adapter.model, x), before)
    weight[0] = 0
    adapter.set_weight("node", weight)
    after = run(adapter.model, x)
    changed = np.zeros(after.shape, bool)
    changed[first] = True
    assert not after[changed].any()
    np.testing.assert_array_equal(after[~changed], before[~changed])


@pytest.mark.parametrize(("given", "shape", "first"), FORMS.values(), ids=FORMS)
def test_inputs_times_the_weight_are_the_outputs_or_the_identity_stands_for_them(
    given: tuple[onnx.ModelProto, Array], shape: tuple[int, int, int], first: tuple[Any, ...]
) -> None:
    model, x = given
    adapter = open_model(model)
    seen: list[Tensor] = []
    adapter.capture([{"x": x}], ["node"], lambda name, inputs: seen.append(inputs))
    (inputs,) = seen
    _, columns, groups = shape
    if torch.equal(inputs, torch.eye(columns).expand(groups, -1, -1)):
        return
    grouped = inputs if inputs.ndim == 3 else inputs[None]
    product = grouped @ adapter.weight("node").reshape(groups, -1, columns).transpose(1, 2)
    expected = run(model, x)
    if model.graph.node[0].op_type == "FusedGemm":
        product = product.relu()
    np.testing.assert_allclose(
        np.sort(product.numpy().ravel()), np.sort(expected.ravel()), rtol=1e-4, atol=1e-5
    )


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_weights_of_inputs_and_state_are_layers(operator: str, directions: int) -> None:
    node = helper.make_node(
        operator,
        ["x", "w", "r"],
        ["y"],
        "node",
        hidden_size=5,
        direction="bidirectional" if directions == 2 else "forward",
    )
    rows = GATES[operator] * 5
    model, x = network(
        [node], floats(7, 2, 3), w=floats(directions, rows, 3), r=floats(directions, rows, 5)
    )
    adapter = open_model(model).copy()
    assert [(layer.name, layer.rows, layer.columns) for layer in adapter.layers()] == [
        ("node.W", directions * rows, 3),
        ("node.R", directions * rows, 5),
    ]
    seen: dict[str, Tensor] = {}
    adapter.capture([{"x": x}], ["node.W", "node.R"], seen.__setitem__)
    torch.testing.assert_close(seen["node.W"], torch.from_numpy(x.reshape(14, 3)))
    torch.testing.assert_close(seen["node.R"], torch.eye(5)[None])
    for name in seen:
        adapter.set_weight(name, adapter.weight(name) * 0)
    assert not run(adapter.model, x).any()


def branches() -> onnx.ModelProto:
    """A layer, and two in the branches of an If: of a weight within and of one around it."""
    ends = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    within = helper.make_graph(
        [helper.make_node("MatMul", ["h", "own"], ["b"], "inner")],
        "within",
        [],
        ends,
        [numpy_helper.from_array(floats(8, 8), "own")],
    )
    around = helper.make_graph(
        [helper.make_node("MatMul", ["h", "outer"], ["b"], "around")], "around", [], ends
    )
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["h"], "before"),
        helper.make_node("ReduceSum", ["h"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["i"], then_branch=within, else_branch=around),
        helper.make_node("MatMul", ["i", "last"], ["y"], "behind"),
    ]
    weights = {name: floats(8, 8) for name in ("first", "outer", "last")}
    return network(nodes, floats(64, 8), **weights)[0]


def test_layers_within_branches_are_pruned_where_they_are_named() -> None:
    model, x = branches(), floats(64, 8)
    names = ["before", "around", "inner", "behind"]
    layers = open_model(model).layers()
    assert [layer.name for layer in layers] == names
    assert [layer.gain for layer in layers] == [True, False, False, True]
    result = sparsify(model, {"x": x}, sparsity=0.5, layers=names)
    assert result.model_sparsity == 0.5
    assert result.notes == (
        "The pruned layers hold 100.0 % of the model's weights.",
        "No gain here, as no kernel skips zeros there: 'around', 'inner' (50.0 % of the model's "
        "weights).",
    )
    assert not np.allclose(run(result.model, x), run(model, x))
    assert [zero.sparsity for zero in result.layers] == [0.5] * 4


def test_what_is_computed_from_a_weight_is_told_to_be_left_out() -> None:
    nodes = [
        helper.make_node("Split", ["packed"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["x", "a"], ["one"], "one"),
        helper.make_node("MatMul", ["one", "b"], ["two"], "two"),
        helper.make_node("MatMul", ["two", "w"], ["three"], "three"),
        helper.make_node("Add", ["three", "mask"], ["y"], "masked"),
    ]
    model, x = network(nodes, floats(6, 6), packed=floats(6, 12), w=floats(6, 6), mask=floats(6, 6))
    left = open_model(model).left_out()
    assert [(one.name, one.kind, one.weights, one.reason) for one in left] == [
        ("packed", "MatMul", 72, "the weight is computed by Split"),
        ("mask", "Add", 36, "how this operator uses its weight is not known"),
    ]
    result = sparsify(model, [{"x": x}], sparsity=0.5)
    assert result.notes == (
        "The pruned layers hold 25.0 % of the model's weights.",
        "Cannot be pruned, MatMul: 'packed' (50.0 % of the model's weights): the weight is "
        "computed by Split.",
        "Cannot be pruned, Add: 'mask' (25.0 % of the model's weights): how this operator uses its "
        "weight is not known.",
    )


def test_a_table_that_is_also_a_matrix_is_a_linear_layer() -> None:
    nodes = [
        helper.make_node("Gather", ["w", "x"], ["h"], "table"),
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["h", "t"], ["y"], "head"),
    ]
    model, _ = network(nodes, np.zeros((2, 3), np.int64), w=floats(9, 4))
    (layer,) = open_model(model).layers()
    assert (layer.name, layer.kind, layer.gain, layer.rows) == ("head", "linear", True, 9)


@pytest.mark.parametrize(("given", "shape", "first"), FORMS.values(), ids=FORMS)
def test_a_broken_node_is_no_layer_and_ends_nothing(
    given: tuple[onnx.ModelProto, Array], shape: tuple[int, int, int], first: tuple[Any, ...]
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(given[0])
    (node,) = model.graph.node
    for attribute in node.attribute:
        attribute.type, attribute.i = onnx.AttributeProto.INT, -3
    open_model(model).layers()
    while node.input:
        node.input.pop()
        adapter = open_model(model)
        assert adapter.layers() == adapter.left_out() == []
