"""What a model keeps in other files: found where ONNX Runtime finds it, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.formats import load_onnx
from gossamer.graphs.external_data import MissingData, load
from gossamer.runtime import compile

WEIGHT = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
X = np.ones((1, 64), np.float32)


def write(path: Path, location: str = "d.bin") -> Path:
    """A model of one layer, whose weight is said to lie at `location`."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 64])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tensor = model.graph.initializer[0]
    (path.parent / "d.bin").write_bytes(bytes(8) + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "8"), ("length", str(WEIGHT.nbytes))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def plain(folder: Path) -> Path:
    return write(folder / "m.onnx")


def link_inside(folder: Path) -> Path:
    (folder / "sub").mkdir()
    (folder / "sub" / "l.bin").symlink_to("../d.bin")
    return write(folder / "m.onnx", "sub/l.bin")


def hub_cache(folder: Path) -> Path:
    """Snapshots of links to where each file lies under a name of its content."""
    (folder / "blobs").mkdir()
    (folder / "snapshots").mkdir()
    write(folder / "blobs" / "m.onnx").rename(folder / "blobs" / "1")
    (folder / "blobs" / "d.bin").rename(folder / "blobs" / "2")
    (folder / "snapshots" / "m.onnx").symlink_to("../blobs/1")
    (folder / "snapshots" / "d.bin").symlink_to("../blobs/2")
    return folder / "snapshots" / "m.onnx"


def linked_folder(folder: Path) -> Path:
    (folder / "there").mkdir()
    (folder / "here").symlink_to("there")
    return write(folder / "here" / "m.onnx")


def hard_link(folder: Path) -> Path:
    path = write(folder / "m.onnx", "h.bin")
    os.link(folder / "d.bin", folder / "h.bin")
    return path


def link_outside(folder: Path) -> Path:
    (folder / "in").mkdir()
    path = write(folder / "in" / "m.onnx", "l.bin")
    (folder / "in" / "d.bin").rename(folder / "d.bin")
    (folder / "in" / "l.bin").symlink_to("../d.bin")
    return path


def above(folder: Path) -> Path:
    path = link_outside(folder)
    return write(path, "../d.bin")


def absolute(folder: Path) -> Path:
    return write(folder / "m.onnx", str(folder / "d.bin"))


def nul(folder: Path) -> Path:
    return write(folder / "m.onnx", "d\0.bin")


def endless_name(folder: Path) -> Path:
    return write(folder / "m.onnx", "d" * 5000)


def link_to_itself(folder: Path) -> Path:
    path = write(folder / "m.onnx", "l.bin")
    (folder / "l.bin").symlink_to("l.bin")
    return path


def nowhere(folder: Path) -> Path:
    return write(folder / "m.onnx", "")


def a_folder(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return write(folder / "m.onnx", "sub")


def too_short(folder: Path) -> Path:
    path = write(folder / "m.onnx")
    (folder / "d.bin").write_bytes(bytes(100))
    return path


def negative(folder: Path) -> Path:
    path = write(folder / "m.onnx")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[1].value = "-8"
    path.write_bytes(model.SerializeToString())
    return path


Layout = Callable[[Path], Path]


@pytest.mark.parametrize("layout", [plain, link_inside, hub_cache, linked_folder, hard_link])
def test_data_within_the_models_folder_is_read(tmp_path: Path, layout: Layout) -> None:
    path = layout(tmp_path)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": X})[0]
    np.testing.assert_array_equal(
        numpy_helper.to_array(load_onnx(path).graph.initializer[0]), WEIGHT
    )
    for engine in ("gossamer", "onnxruntime"):
        ours = compile(path, engine=engine).run(None, {"x": X})[0]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", ["0", None])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.int4, ml_dtypes.uint2, np.bool_])
def test_a_length_that_is_0_or_not_said_is_that_of_the_shape(
    tmp_path: Path, dtype: type, length: str | None
) -> None:
    """What lies behind it in the file is another tensor's."""
    weight = WEIGHT[:5, :5].astype(dtype)
    constant = numpy_helper.from_array(weight, "w")
    (tmp_path / "d.bin").write_bytes(bytes(8) + constant.raw_data + bytes(100))
    tensor = TensorProto(name="w", dims=(5, 5), data_type=constant.data_type)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "d.bin"), ("offset", "8"), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)],
        "cast",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 5])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    expected = onnxruntime.InferenceSession(path).run(None, {})[0]
    np.testing.assert_array_equal(compile(path, engine="gossamer").run(None, {})[0], expected)
    read = numpy_helper.to_array(load_onnx(path).graph.initializer[0])
    np.testing.assert_array_equal(read.astype(np.float32), expected)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (link_outside, "outside its folder, at 'l.bin'; move the data"),
        (above, "outside its folder, at '../d.bin'"),
        (absolute, "outside its folder"),
        (nowhere, "outside its folder, at ''"),
        (nul, "in a file of an impossible name"),
        (endless_name, "d', which cannot be found .*too long"),
        (link_to_itself, "'l.bin', which (cannot be found .*loop|is missing)"),
        (a_folder, "'sub', which is missing; copy that file"),
        (too_short, "'d.bin', which does not hold it .*; copy that file again"),
        (negative, "'d.bin', which does not hold it"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, layout: Layout, message: str) -> None:
    path = layout(tmp_path)
    tensor = onnx.load(path, load_external_data=False).graph.initializer[0]
    with pytest.raises(MissingData, match=message):
        load(tensor, path)
    for take in (load_onnx, compile):
        with pytest.raises(ModelError, match=message) as error:
            take(path)
        assert "\n" not in str(error.value)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        onnxruntime.InferenceSession(path)
