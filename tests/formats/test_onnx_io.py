"""ONNX files: what is valid comes in, what is not is one clear line, what goes out runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError, OutputError
from gossamer.formats import load_onnx, save_onnx

Array = np.ndarray[Any, Any]


def weight(seed: int, sparsity: float = 0.9) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((32, 32)) * (rng.random((32, 32)) >= sparsity)).astype(np.float32)


def network() -> onnx.ModelProto:
    """x @ w + b, then @ c, where c is a Constant node and d a weight that is all zeros."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h0"]),
        helper.make_node("Add", ["h0", "b"], ["h1"]),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weight(2))),
        helper.make_node("MatMul", ["h1", "c"], ["h2"]),
        helper.make_node("Add", ["h2", "d"], ["y"]),
    ]
    weights = {"w": weight(1), "b": weight(3, 0.0)[0], "d": np.zeros((1, 32), np.float32)}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto | Path) -> Array:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(9).standard_normal((3, 32)).astype(np.float32)
    return np.asarray(session.run(None, {"x": x})[0])


def test_a_model_survives_the_file(tmp_path: Path) -> None:
    save_onnx(network(), tmp_path / "m.onnx")
    assert load_onnx(tmp_path / "m.onnx") == network()


def test_sparse_initializers_are_smaller_valid_and_give_the_same_outputs(tmp_path: Path) -> None:
    model = network()
    save_onnx(model, tmp_path / "dense.onnx")
    save_onnx(model, tmp_path / "sparse.onnx", sparse_initializers=True)
    assert model == network()
    onnx.checker.check_model(str(tmp_path / "sparse.onnx"))
    written = onnx.load(tmp_path / "sparse.onnx").graph
    assert [tensor.values.name for tensor in written.sparse_initializer] == ["w", "d"]
    assert [tensor.name for tensor in written.initializer] == ["b"]
    assert written.node[2].attribute[0].name == "sparse_value"
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("sparse", "dense")]
    assert sizes[0] < 0.5 * sizes[1]
    np.testing.assert_array_equal(run(tmp_path / "sparse.onnx"), run(model))


def test_sparse_initializers_are_read_back_as_dense_ones(tmp_path: Path) -> None:
    save_onnx(network(), tmp_path / "m.onnx", sparse_initializers=True)
    model = load_onnx(tmp_path / "m.onnx")
    assert not model.graph.sparse_initializer
    assert {tensor.name for tensor in model.graph.initializer} == {"w", "b", "d"}
    np.testing.assert_array_equal(run(model), run(network()))


def test_sparse_initializers_may_list_their_positions_axis_by_axis(tmp_path: Path) -> None:
    model = network()
    dense = weight(1)
    values = numpy_helper.from_array(dense[dense != 0], "w")
    indices = numpy_helper.from_array(np.argwhere(dense), "w_at")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, list(dense.shape))
    )
    del model.graph.initializer[0]
    save_onnx(model, tmp_path / "m.onnx")
    np.testing.assert_array_equal(run(load_onnx(tmp_path / "m.onnx")), run(network()))


@pytest.mark.parametrize(
    ("positions", "shape", "message"),
    [
        ([0, 1024], [32, 32], "tensor 'w', which contradicts itself"),
        ([-1, 3], [32, 32], "tensor 'w', which contradicts itself"),
        ([1, 2, 3], [32, 32], "tensor 'w', which contradicts itself"),
        ([0, 1], [2**20, 2**20], "tensors that take 4.1e+03 GiB in all"),
    ],
)
def test_a_sparse_initializer_that_lies_is_refused(
    tmp_path: Path, positions: list[int], shape: list[int], message: str
) -> None:
    model = network()
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    indices = numpy_helper.from_array(np.array(positions), "w_at")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, shape))
    del model.graph.initializer[0]
    save_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=f"sparse {re.escape(message)}.*;"):
        load_onnx(tmp_path / "m.onnx")


def test_an_initializer_that_a_caller_may_override_stays_dense(tmp_path: Path) -> None:
    model = network()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [32, 32]))
    save_onnx(model, tmp_path / "m.onnx", sparse_initializers=True)
    assert "w" in {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        save_onnx(network(), tmp_path / "absent" / "m.onnx")


# What is wrong with a file


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx does not exist; check the path"):
        load_onnx(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="cannot read"):
        load_onnx(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04]\x94.", b"\xff" * 100, b"\x08\x08"], ids=repr
)
def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX model, or is truncated; export"):
        load_onnx(tmp_path / "m.onnx")


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    content = network().SerializeToString()
    for length in [*range(0, len(content), 61), *range(len(content) - 200, len(content))]:
        (tmp_path / "m.onnx").write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"m\.onnx"):
            load_onnx(tmp_path / "m.onnx")


def test_damage_is_a_model_error_or_goes_through_the_checker(tmp_path: Path) -> None:
    content = network().SerializeToString()
    for position in [*range(0, 400, 3), *range(400, len(content), 97)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        (tmp_path / "m.onnx").write_bytes(damaged)
        try:
            onnx.checker.check_model(load_onnx(tmp_path / "m.onnx"))
        except ModelError as error:
            assert "\n" not in str(error)


def test_an_invalid_graph_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = network()
    model.graph.node[0].input[0] = "nowhere"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"not a valid ONNX model \(.+\); export it again"):
        load_onnx(tmp_path / "m.onnx")


# External data


def external(folder: Path, location: str = "weights.bin") -> Path:
    model = network()
    onnx.save_model(
        model,
        folder / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    stored = onnx.load(folder / "m.onnx", load_external_data=False)
    for tensor in [*stored.graph.initializer, stored.graph.node[2].attribute[0].t]:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "m.onnx").write_bytes(stored.SerializeToString())
    return folder / "m.onnx"


def test_external_data_is_read_from_the_models_folder(tmp_path: Path) -> None:
    model = load_onnx(external(tmp_path))
    np.testing.assert_array_equal(run(model), run(network()))
    assert all(t.data_location == TensorProto.DEFAULT for t in model.graph.initializer)


@pytest.mark.parametrize("location", ["../secret.bin", "a/../../secret.bin", "{root}/secret.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"s" * 100_000)
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"outside its folder.*; move the data"):
        load_onnx(external(folder, location.format(root=tmp_path)))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"s" * 100_000)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="outside its folder"):
        load_onnx(external(folder, "link.bin"))


def test_missing_and_short_external_data_are_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"'weights\.bin', which does not hold it .*; copy"):
        load_onnx(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"'weights\.bin', which is missing; copy"):
        load_onnx(path)


def test_a_large_model_keeps_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    weight = numpy_helper.from_array(np.ones((32, 64), np.float32), "unused")
    model.graph.initializer.append(weight)
    before = model.SerializeToString()
    monkeypatch.setattr("gossamer.formats.onnx_message._LARGEST", (64 << 20) + 5000)
    save_onnx(model, tmp_path / "m.onnx")
    assert model.SerializeToString() == before
    assert (tmp_path / "m.onnx").stat().st_size < 8192 < (tmp_path / "m.onnx.data").stat().st_size
    np.testing.assert_array_equal(run(tmp_path / "m.onnx"), run(model))
    loaded = load_onnx(tmp_path / "m.onnx")
    np.testing.assert_array_equal(run(loaded), run(model))
    ours, theirs = loaded.graph.initializer[-1], model.graph.initializer[-1]
    assert (ours.name, ours.raw_data) == (theirs.name, theirs.raw_data)


def test_weights_that_do_not_fit_their_shape_are_refused(tmp_path: Path) -> None:
    model = network()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((64, 32), np.float32), "v"))
    model.graph.initializer[-1].dims[0] = 65
    tmp_path.joinpath("m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        load_onnx(tmp_path / "m.onnx")
