"""A sparse file that carries its ONNX graph is the whole model, and stores each weight once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from gossamer.errors import ModelError, OptionError
from gossamer.formats import load, load_onnx, save
from gossamer.runtime import compile

Array = np.ndarray[Any, Any]


class Network(torch.nn.Module):
    """A matrix product (exporters transpose its weight), a convolution and tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(60, 32)
        self.hidden = torch.nn.Linear(32, 48)
        self.conv = torch.nn.Conv1d(48, 32, 3, padding=1)
        self.head = torch.nn.Linear(32, 60, bias=False)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            for parameter in (self.embedding.weight, self.hidden.weight, self.conv.weight):
                parameter[torch.rand(parameter.shape) < 0.9] = 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.hidden(self.embedding(ids)))
        out: torch.Tensor = self.head(self.conv(hidden.transpose(1, 2)).transpose(1, 2))
        return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, onnx.ModelProto]:
    module = Network().eval()
    path = tmp_path_factory.mktemp("exported") / "m.onnx"
    torch.onnx.export(
        module,
        (torch.arange(14).reshape(2, 7),),
        str(path),
        dynamo=False,
        input_names=["ids"],
        dynamic_axes={"ids": {0: "batch", 1: "length"}},
    )
    return module, load_onnx(path)


def run(model: onnx.ModelProto, feeds: dict[str, Array] | None = None) -> Array:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = feeds or {"ids": np.random.default_rng(0).integers(0, 60, (3, 11))}
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_model_comes_back_equal_in_behaviour_and_much_smaller(
    tmp_path: Path, exported: tuple[Network, onnx.ModelProto]
) -> None:
    _, model = exported
    save(model, tmp_path / "m.st")
    restored = load(tmp_path / "m.st").onnx()
    onnx.checker.check_model(restored, full_check=True)
    np.testing.assert_array_equal(run(restored), run(model))
    assert restored.graph.node == model.graph.node
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name, array in load(tmp_path / "m.st").arrays().items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.filterwarnings("ignore")
def test_a_module_and_its_graph_share_their_weights(
    tmp_path: Path, exported: tuple[Network, onnx.ModelProto]
) -> None:
    module, model = exported
    save(module, tmp_path / "alone.st")
    save(module, tmp_path / "both.st", graph=model)
    file = load(tmp_path / "both.st")
    assert file.description.graph is not None
    graph_bytes = file.description.graph.bytes
    assert graph_bytes < 4000
    # The graph, its bindings and nothing else: no weight is in the file twice.
    sizes = [(tmp_path / f"{name}.st").stat().st_size for name in ("alone", "both")]
    assert sizes[1] - sizes[0] < graph_bytes + 1000
    np.testing.assert_array_equal(run(file.onnx()), run(model))
    assert list(file.state_dict()) == list(module.state_dict())
    assert load_parts(tmp_path / "both.st") - load_parts(tmp_path / "alone.st") == {"graph:onnx"}


def load_parts(path: Path) -> set[str]:
    return set(load_file(path))


def test_the_graph_may_come_as_bytes(
    tmp_path: Path, exported: tuple[Network, onnx.ModelProto]
) -> None:
    module, model = exported
    save(module, tmp_path / "m.st", graph=model.SerializeToString())
    np.testing.assert_array_equal(run(load(tmp_path / "m.st").onnx()), run(model))


def test_fp16_values_reach_the_graph_as_float32(
    tmp_path: Path, exported: tuple[Network, onnx.ModelProto]
) -> None:
    module, model = exported
    save(module, tmp_path / "m.st", graph=model, values="fp16")
    restored = run(load(tmp_path / "m.st").onnx())
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, run(model), atol=2e-3 * np.abs(run(model)).max())


def small_graph(**weights: Array) -> onnx.ModelProto:
    """A graph that adds up its weights, [32, 32] each; those named c* are Constant nodes."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in weights.items()
        if name.startswith("c")
    ]
    total = "x"
    for name in weights:
        nodes.append(helper.make_node("Add", [total, name], [f"{name}_sum"]))
        total = f"{name}_sum"
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    shape = [32, 32]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(array, name)
            for name, array in weights.items()
            if not name.startswith("c")
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def matrix(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((32, 32)) * (rng.random((32, 32)) > 0.8)).astype(np.float32)


X = {"x": np.ones((32, 32), np.float32)}


def test_weights_in_constant_nodes_count_like_initializers(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1), c=matrix(2))
    save(model, tmp_path / "m.st")
    file = load(tmp_path / "m.st")
    assert set(file.arrays()) == {"w", "c"}
    np.testing.assert_array_equal(file.arrays()["c"], matrix(2))
    np.testing.assert_array_equal(run(file.onnx(), X), run(model, X))
    assert file.onnx().graph.node[0].op_type == "Constant"


def test_the_runtime_takes_the_carried_graph_and_its_weights_apart(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1), c=matrix(2))
    save(model, tmp_path / "m.st")
    graph, weights = load(tmp_path / "m.st").onnx_parts()
    assert graph.ByteSize() < 1000
    result = compile(graph, weights=weights, threads=1).run(None, X)[0]
    np.testing.assert_allclose(result, run(model, X), rtol=1e-4, atol=1e-4)


def test_the_weights_of_the_carried_graph_can_be_had_again(tmp_path: Path) -> None:
    """So that a session need not keep them for the case that ONNX Runtime is to run them too."""
    save(small_graph(w=matrix(1), c=matrix(2)), tmp_path / "m.st")
    _, weights = load(tmp_path / "m.st").onnx_parts()
    first, second = dict(weights), dict(weights)
    assert first.keys() == second.keys() and first
    for name, array in first.items():
        assert array is not second[name]
        np.testing.assert_array_equal(array, second[name])
    graph, weights = load(tmp_path / "m.st").onnx_parts()
    found = compile(graph, weights=weights, engine="onnxruntime").run(None, X)[0]
    np.testing.assert_array_equal(found, run(load(tmp_path / "m.st").onnx(), X))


def test_equal_and_transposed_weights_are_stored_once(tmp_path: Path) -> None:
    model = small_graph(a=matrix(1), b=matrix(1), t=matrix(1).T.copy())
    save(model, tmp_path / "m.st")
    assert load_parts(tmp_path / "m.st") == {"mask:a", "values:a", "graph:onnx"}
    np.testing.assert_array_equal(load(tmp_path / "m.st").arrays()["t"], matrix(1).T)
    np.testing.assert_array_equal(run(load(tmp_path / "m.st").onnx(), X), run(model, X))


def test_a_graph_weight_that_only_shares_a_name_is_stored_apart(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1), v=matrix(2))
    save({"w": matrix(3), "u": matrix(2)}, tmp_path / "m.st", graph=model)
    file = load(tmp_path / "m.st")
    assert list(file.arrays()) == ["w", "u"]
    np.testing.assert_array_equal(file.arrays()["w"], matrix(3))
    np.testing.assert_array_equal(run(file.onnx(), X), run(model, X))


def test_small_tensors_and_other_types_stay_in_the_graph(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1))
    label = helper.make_tensor("labels", TensorProto.STRING, [400], [b"label"] * 400)
    scalar = numpy_helper.from_array(np.array(3.0), "scale")
    model.graph.initializer.extend([label, scalar])
    save(model, tmp_path / "m.st")
    file = load(tmp_path / "m.st")
    assert set(file.arrays()) == {"w"}
    assert list(file.onnx().graph.initializer)[1:] == [label, scalar]


def test_saving_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1), c=matrix(2))
    save(model, tmp_path / "m.st")
    assert model == small_graph(w=matrix(1), c=matrix(2))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"not a graph", "bytes that are no ONNX model; give"),
        (small_graph(c=matrix(1), w=matrix(2)), "defines tensor 'w' twice; export"),
        (small_graph(w=matrix(1)), "tensor 'w' is broken .*; export"),
        (small_graph(w=matrix(1)), "'w' in an external file; read the model with"),
    ],
    ids=["bytes", "twice", "shape", "external"],
)
def test_a_broken_graph_is_refused(tmp_path: Path, graph: Any, message: str) -> None:
    if "twice" in message:
        graph.graph.initializer.append(numpy_helper.from_array(matrix(1), "w"))
    if "broken" in message:
        graph.graph.initializer[0].dims[0] = 33
    if "external" in message:
        graph.graph.initializer[0].data_location = TensorProto.EXTERNAL
    with pytest.raises(ModelError, match=message):
        save({"w": matrix(1)}, tmp_path / "m.st", graph=graph)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_a_graph_takes_no_other(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1))
    with pytest.raises(OptionError, match="carries its own graph; leave graph out"):
        save(model, tmp_path / "m.st", graph=model)


@pytest.mark.parametrize("change", ["rename", "shape", "type", "cut"])
def test_a_graph_that_does_not_fit_its_tensors_is_refused(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.formats import onnx_graph

    split = onnx_graph.split

    def wrong(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Array]]:
        stripped, weights = split(model)
        tensor = stripped.graph.initializer[0]
        if change == "rename":
            tensor.name = "v"
        elif change == "shape":
            tensor.dims[:] = [16, 64]
        elif change == "type":
            tensor.data_type = TensorProto.INT32
        return stripped, weights

    monkeypatch.setattr(onnx_graph, "split", wrong)
    if change == "cut":
        monkeypatch.setattr(onnx.ModelProto, "SerializeToString", lambda self: b"\x0a", False)
    save(small_graph(w=matrix(1)), tmp_path / "m.st")
    with pytest.raises(ModelError, match=r"carried graph .*; copy it again"):
        load(tmp_path / "m.st")


def test_no_flipped_bit_in_a_file_with_a_graph_goes_unnoticed(tmp_path: Path) -> None:
    model = small_graph(w=matrix(1), c=matrix(2))
    save({"w": matrix(1)}, tmp_path / "m.st", graph=model)
    content = (tmp_path / "m.st").read_bytes()
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        (tmp_path / "m.st").write_bytes(damaged)
        try:
            restored = load(tmp_path / "m.st").onnx()
        except ModelError as error:
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(run(restored, X), run(model, X))
