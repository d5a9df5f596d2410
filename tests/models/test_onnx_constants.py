"""Weights behind nodes that show them in another form: read as ONNX Runtime makes them, and written
so that it makes what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.models.onnx_constants import constants, count_zeros, read, write

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
FLOATS = RANDOM.standard_normal((6, 4)).astype(np.float32)
WHOLE = RANDOM.integers(-100, 100, (6, 4)).astype(np.int8)
STEPS = np.float32([0.1, 0.2, 0.3, 0.4])


def node(operator: str, *more: str, out: str = "w", first: str = "s", **given: Any) -> Any:
    domain = given.pop("domain", "")
    return helper.make_node(operator, [first, *more], [out], domain=domain, **given)


def model(nodes: list[onnx.NodeProto], opset: int, **tensors: Array) -> onnx.ModelProto:
    """A model that gives the value "w"."""
    graph = helper.make_graph(
        nodes,
        "weight",
        [],
        [onnx.ValueInfoProto(name="w")],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def made(given: onnx.ModelProto) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(given.SerializeToString(), options).run(None, {})[0]


def numbers(*values: int) -> Array:
    return np.array(values, np.int64)


QUANTIZED = {"s": WHOLE, "k": STEPS, "z": np.int8([1, -2, 3, 0])}
SHOWN = {
    "Identity": model([node("Identity")], 17, s=FLOATS),
    "Cast": model([node("Cast", to=TensorProto.FLOAT)], 17, s=FLOATS.astype(np.float16)),
    "Cast to half": model([node("Cast", to=TensorProto.FLOAT16)], 17, s=np.float32(WHOLE)),
    "Transpose": model([node("Transpose", perm=[1, 0])], 17, s=FLOATS),
    "Transpose without an order": model([node("Transpose")], 17, s=FLOATS.reshape(2, 3, 4)),
    "Reshape": model([node("Reshape", "n")], 17, s=FLOATS, n=numbers(0, 2, -1)),
    "Flatten": model([node("Flatten", axis=2)], 17, s=FLOATS.reshape(2, 3, 4)),
    "Squeeze": model([node("Squeeze", "n")], 17, s=FLOATS[None, :, None], n=numbers(0, -2)),
    "Squeeze of all": model([node("Squeeze")], 17, s=FLOATS[None, :, None]),
    "Squeeze before opset 13": model([node("Squeeze", axes=[0])], 11, s=FLOATS[None]),
    "Unsqueeze": model([node("Unsqueeze", "n")], 17, s=FLOATS, n=numbers(0, -1)),
    "Unsqueeze before opset 13": model([node("Unsqueeze", axes=[1])], 11, s=FLOATS),
    "Mul": model([node("Mul", "k")], 17, s=FLOATS, k=STEPS),
    "Mul the other way round": model([node("Mul", "s", first="k")], 17, s=FLOATS, k=STEPS),
    "Div": model([node("Div", "k")], 17, s=FLOATS, k=STEPS),
    "DequantizeLinear": model([node("DequantizeLinear", "k")], 17, s=WHOLE, k=np.float32(0.1)),
    "DequantizeLinear by channel": model([node("DequantizeLinear", "k", "z")], 17, **QUANTIZED),
    "DequantizeLinear by block": model(
        [node("DequantizeLinear", "k", axis=0, block_size=4)],
        21,
        s=WHOLE,
        k=np.stack([STEPS, 2 * STEPS]),
    ),
    "quantized by hand, turned": model(
        [
            node("Cast", to=TensorProto.FLOAT, out="c"),
            node("Mul", "k", first="c", out="m"),
            node("Transpose", first="m", perm=[1, 0]),
        ],
        17,
        s=WHOLE,
        k=STEPS,
    ),
}


@pytest.mark.parametrize("given", SHOWN.values(), ids=SHOWN)
def test_a_weight_is_read_as_it_is_made_and_written_to_make_another(given: onnx.ModelProto) -> None:
    stored = constants(given.graph, {})["w"]
    before = made(given)
    assert stored.dims == before.shape
    np.testing.assert_allclose(read(stored, {}), before, rtol=1e-6)
    # What is there can be written again: quantized weights too.
    wanted = before.astype(np.float32) * (RANDOM.random(before.shape) < 0.5)
    write(stored, wanted, {})
    after = made(given)
    np.testing.assert_allclose(after, wanted, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(after[wanted == 0], 0)
    assert count_zeros(stored, {}) == (wanted == 0).sum()


def test_quantized_weights_are_rounded_to_what_can_be_stored() -> None:
    given = SHOWN["DequantizeLinear by channel"]
    stored = constants(given.graph, {})["w"]
    write(stored, np.full((6, 4), 1e6, np.float32), {})
    assert (numpy_helper.to_array(given.graph.initializer[0]) == 127).all()


def test_elements_kept_apart_are_replaced_and_not_changed() -> None:
    given = model([node("Transpose", perm=[1, 0])], 17, s=FLOATS)
    mine = {"s": np.float32(WHOLE)}
    other = dict(mine)
    stored = constants(given.graph, mine)["w"]
    np.testing.assert_array_equal(read(stored, mine), WHOLE.T)
    write(stored, np.zeros((4, 6), np.float32), mine)
    assert not mine["s"].any() and (other["s"] == WHOLE).all()
    np.testing.assert_array_equal(numpy_helper.to_array(given.graph.initializer[0]), FLOATS)


@pytest.mark.parametrize(
    ("nodes", "tensors"),
    [
        ([node("Mul", "k")], {"k": np.float32([1, 0, 1, 1])}),
        ([node("Mul", "k")], {"k": np.ones((3, 1, 1), np.float32)}),
        ([node("Cast", to=TensorProto.INT64)], {}),
        ([node("Relu")], {}),
        ([node("Reshape", "n", domain="other")], {"n": numbers(24)}),
    ],
)
def test_what_cannot_be_undone_is_no_form_of_the_weight(
    nodes: list[onnx.NodeProto], tensors: dict[str, Array]
) -> None:
    assert "w" not in constants(model(nodes, 17, s=FLOATS, **tensors).graph, {})


@pytest.mark.parametrize("given", SHOWN.values(), ids=SHOWN)
def test_a_broken_node_shows_nothing(given: onnx.ModelProto) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(given)
    for node in broken.graph.node:
        del node.input[:]
    assert "w" not in constants(broken.graph, {})
    broken.CopyFrom(given)
    for node in broken.graph.node:
        for attribute in node.attribute:
            attribute.type, attribute.f = onnx.AttributeProto.FLOAT, 0.5
    constants(broken.graph, {})
