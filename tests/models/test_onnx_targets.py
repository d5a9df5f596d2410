from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from gossamer.models import Layer, open_model
from gossamer.models.onnx_constants import constants
from gossamer.models.onnx_layers import Use
from gossamer.models.onnx_targets import find_aim, find_consumers

Arrays = dict[str, np.ndarray[Any, Any]]


def graph(*nodes: onnx.NodeProto, **weights: np.ndarray[Any, Any]) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(array.astype(np.float32), name)
            for name, array in weights.items()
        ],
    )


def aim(made: onnx.GraphProto) -> Any:
    layer = Layer("layer", "linear", 4, 4)
    return find_aim(Use(made.node[0], "x", 0), layer, find_consumers(made), constants(made, {}))


MATMUL = helper.make_node("MatMul", ["x", "w"], ["m"])
SQUARE = {"w": np.ones((4, 4))}


def test_the_sum_with_a_bias_and_a_residual_is_the_aim() -> None:
    made = graph(
        MATMUL,
        helper.make_node("Add", ["b", "m"], ["biased"]),
        helper.make_node("Identity", ["biased"], ["same"]),
        helper.make_node("Add", ["same", "x"], ["y"]),
        **SQUARE,
        b=np.arange(4),
    )
    found = aim(made)
    assert found == ("y", "x", "b")


def test_a_sum_that_others_read_too_is_not_passed_over() -> None:
    made = graph(
        MATMUL,
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("Add", ["m", "r"], ["y"]),
        **SQUARE,
    )
    assert aim(made) == ("m", None, None)


def test_what_is_no_bias_is_left_alone() -> None:
    made = graph(
        MATMUL, helper.make_node("Add", ["m", "b"], ["y"]), **SQUARE, b=np.arange(8).reshape(2, 4)
    )
    assert aim(made) == ("m", None, None)


GEMM = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
ADD = [MATMUL, helper.make_node("Add", ["m", "b"], ["y"])]
CONV = [
    helper.make_node("Unsqueeze", ["x", "axes"], ["images"]),
    helper.make_node("Conv", ["images", "kernel"], ["c"], kernel_shape=[1, 1]),
    helper.make_node("Add", ["c", "b"], ["y"]),
]


@pytest.mark.parametrize(
    ("nodes", "shape", "changed"),
    [
        *((nodes, shape, False) for nodes in (ADD, [GEMM]) for shape in ((), (1,), (1, 1), (4, 1))),
        *((nodes, (4, 4), False) for nodes in (ADD, [GEMM])),
        *((nodes, shape, True) for nodes in (ADD, [GEMM]) for shape in ((4,), (1, 4))),
        (ADD, (1, 1, 4), True),
        *((CONV, shape, False) for shape in ((), (4,), (1, 4), (4, 4, 1), (1, 1, 1, 4))),
        *((CONV, shape, True) for shape in ((4, 1, 1), (1, 4, 1, 1))),
    ],
)
def test_only_a_constant_with_one_number_for_each_row_is_a_bias_to_change(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], changed: bool
) -> None:
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((4, 4)), "b": random.standard_normal(shape)}
    made = graph(*nodes, **weights)
    if nodes is CONV:
        made = graph(*nodes, kernel=weights["w"].reshape(4, 4, 1, 1), b=weights["b"])
        made.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    adapter = open_model(model).copy()
    (layer,) = adapter.layers()
    assert layer.bias is changed
    seen: list[tuple[Tensor, Tensor | None]] = []
    feeds = {"x": random.standard_normal((4, 4)).astype(np.float32)}
    for _ in adapter.walk(
        [feeds],
        [[layer.name]],
        lambda name, inputs, targets: seen.append((inputs, targets)),
        open_model(model),
    ):
        pass
    # Nothing has changed: the dense weight meets its targets, whatever constant is added to it.
    ((inputs, targets),) = seen
    if targets is not None:
        torch.testing.assert_close(inputs @ adapter.weight(layer.name).T, targets)
    if changed:
        assert targets is not None or shape == (1, 1, 4), "a sum of more axes is no target"
        before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
        adapter.add_to_bias(layer.name, torch.arange(4.0))
        after = onnxruntime.InferenceSession(adapter.model.SerializeToString()).run(None, feeds)[0]
        rows = np.arange(4.0).reshape(-1, 1, 1) if nodes is CONV else np.arange(4.0)
        np.testing.assert_allclose(after - before, np.broadcast_to(rows, after.shape), atol=1e-6)


@pytest.mark.parametrize("scale", ["alpha", "beta"])
def test_a_scaled_gemm_has_no_aim(scale: str) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **{scale: 0.5})
    assert aim(graph(node, **SQUARE, b=np.ones(4))) is None


def test_a_bias_that_is_changed_is_the_bias_that_runs(
    blocks: tuple[nn.Module, onnx.ModelProto, Arrays],
) -> None:
    _, model, feeds = blocks
    adapter = open_model(model).copy()
    last = adapter.layers()[-1]
    assert last.bias and last.rows == 6

    def run(given: onnx.ModelProto) -> np.ndarray[Any, Any]:
        session = onnxruntime.InferenceSession(given.SerializeToString())
        return np.asarray(session.run(None, feeds)[0])

    adapter.add_to_bias(last.name, torch.arange(6.0))
    difference = run(adapter.model) - run(model)
    np.testing.assert_allclose(
        difference, np.broadcast_to(np.arange(6.0), difference.shape), atol=1e-5
    )


def test_a_bias_that_others_read_too_cannot_be_changed() -> None:
    made = graph(
        MATMUL,
        helper.make_node("Add", ["m", "b"], ["n"]),
        helper.make_node("MatMul", ["n", "v"], ["o"]),
        helper.make_node("Add", ["o", "b"], ["y"]),
        **SQUARE,
        v=np.ones((4, 4)),
        b=np.arange(4),
    )
    assert [layer.bias for layer in open_model(helper.make_model(made)).layers()] == [False] * 2


class Block(nn.Module):
    """Two layers and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 9)
        self.second = nn.Linear(9, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x).relu())


@pytest.fixture
def blocks(tmp_path: Path) -> tuple[nn.Module, onnx.ModelProto, Arrays]:
    model = nn.Sequential(Block(), Block()).eval()
    random = np.random.default_rng(0)
    feeds = {"input": random.standard_normal((7, 5, 6)).astype(np.float32)}
    open_model(model).export_onnx(tmp_path / "model.onnx", feeds)
    return model, onnx.load(tmp_path / "model.onnx"), feeds


def test_both_kinds_of_model_have_the_same_targets(
    blocks: tuple[nn.Module, onnx.ModelProto, Arrays],
) -> None:
    module, model, feeds = blocks

    def walked(adapter: Any) -> list[tuple[Tensor, Tensor]]:
        sparse, seen = adapter.copy(), []
        names = [layer.name for layer in sparse.layers()]
        groups = [names[:2], names[2:]]

        def record(name: str, inputs: Tensor, targets: Tensor | None) -> None:
            assert targets is not None
            seen.append((inputs, targets))

        for part in sparse.walk([feeds], groups, record, adapter):
            for name in part:
                sparse.set_weight(name, sparse.weight(name) / 2)
        return seen

    ours, theirs = walked(open_model(model)), walked(open_model(module).copy())
    assert len(ours) == len(theirs) == 4
    for (inputs, targets), (other, wanted) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(inputs.reshape(other.shape), other, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(targets.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


def test_convolutions_have_what_they_give_in_the_dense_model(onnx_cnn: onnx.ModelProto) -> None:
    feeds = {"x": np.random.default_rng(1).standard_normal((5, 4, 9, 8)).astype(np.float32)}
    adapter = open_model(onnx_cnn)
    seen: dict[str, list[tuple[Tensor, Tensor | None]]] = {}
    for _ in adapter.copy().walk(
        [feeds],
        [["conv"]],
        lambda name, inputs, targets: seen.setdefault(name, []).append((inputs, targets)),
        adapter,
    ):
        pass
    inputs = torch.cat([part for part, _ in seen["conv"]], dim=1)
    targets = torch.cat([part for _, part in seen["conv"] if part is not None], dim=1)
    # Nothing has changed: the dense weight meets its targets.
    weight = adapter.weight("conv").reshape(2, 3, -1)
    torch.testing.assert_close(inputs @ weight.mT, targets, rtol=1e-4, atol=1e-5)
    shown = onnx.ModelProto()
    shown.CopyFrom(onnx_cnn)
    shown.graph.output.append(onnx.ValueInfoProto(name="c"))
    outputs = onnxruntime.InferenceSession(shown.SerializeToString()).run(["c"], feeds)[0]
    assert targets.numel() == outputs.size


def test_an_output_that_is_broadcast_has_no_target() -> None:
    made = graph(
        helper.make_node("ReduceMean", ["x"], ["r"], axes=[0], keepdims=1),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Add", ["m", "x"], ["y"]),
        **SQUARE,
    )
    adapter = open_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    seen: list[Tensor | None] = []
    feeds = {"x": np.ones((6, 4), np.float32)}
    for _ in adapter.copy().walk(
        [feeds], [["w"]], lambda name, inputs, targets: seen.append(targets), adapter
    ):
        pass
    assert seen == [None]
