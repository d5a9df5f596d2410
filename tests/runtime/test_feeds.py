"""What a caller feeds: an array of the right type and shape, or one line with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import DataError, OptionError
from gossamer.runtime import bounds, compile

f32 = np.float32


@pytest.fixture
def layer(model: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = model(
        "(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)
    )
    return made


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
def test_the_arguments_of_a_run_have_the_names_that_onnx_runtime_gives_them(
    layer: onnx.ModelProto, engine: Any
) -> None:
    session, x = compile(layer, engine=engine), np.ones((2, 4), f32)
    for names in (None, ["y"], ("y",), [], {"y"}):
        (y,) = session.run(output_names=names, input_feed={"x": x}, run_options=None)
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
@pytest.mark.parametrize(
    "names", [3, 2.5, True, "y", b"y", Path("y"), [None], [["y"]], np.arange(2), len]
)
def test_outputs_that_are_no_list_of_names_are_one_line(
    layer: onnx.ModelProto, names: Any, engine: Any
) -> None:
    session = compile(layer, engine=engine)
    with pytest.raises(OptionError, match=r"output_names= must be a"):
        session.run(names, {"x": np.ones((2, 4), f32)})


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
def test_tensors_of_torch_are_taken_or_the_remedy_is_told(
    layer: onnx.ModelProto, engine: Any
) -> None:
    torch = pytest.importorskip("torch")
    session = compile(layer, engine=engine)
    x = torch.arange(8.0).reshape(2, 4)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x.numpy())
    for wrong, remedy in (
        (x.clone().requires_grad_(), r"give tensor\.detach\(\)\.numpy\(\)"),
        (x.bfloat16(), r"give tensor\.float\(\)\.numpy\(\)"),
        (x.bfloat16().requires_grad_(), r"give tensor\.detach\(\)\.float\(\)\.numpy\(\)"),
    ):
        with pytest.raises(DataError, match=f"input 'x' is a tensor of PyTorch; {remedy}") as error:
            session.run(None, {"x": wrong})
        assert "\n" not in str(error.value)


def test_a_view_that_memory_does_not_hold_is_refused_before_it_is_copied(
    layer: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = compile(layer, engine="gossamer")
    few = np.broadcast_to(np.ones(4, f32), (3, 4))
    np.testing.assert_array_equal(session.run(None, {"x": few})[0], few)
    many = np.broadcast_to(np.ones(4, f32), (1 << 40, 4))
    with pytest.raises(DataError, match=r"takes 1.64e\+04 GiB.*give fewer at once"):
        session.run(None, {"x": many})
    monkeypatch.setattr(bounds, "memory", lambda: 40)
    with pytest.raises(DataError, match="more than this machine's memory"):
        session.run(None, {"x": few})


@pytest.mark.parametrize("threads", [2.5, "2", 1.0])
def test_threads_are_a_whole_number(layer: onnx.ModelProto, threads: Any) -> None:
    with pytest.raises(OptionError, match=r"threads is .*; give a whole number from 1 up"):
        compile(layer, threads=threads)
    assert compile(layer, threads=np.int64(1)).threads == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
def test_bytes_in_another_order_are_the_same_numbers(layer: onnx.ModelProto, engine: Any) -> None:
    """ONNX Runtime takes them as they are: 1.0 becomes 4.6e-41."""
    x = np.arange(8, dtype=f32).reshape(2, 4)
    swapped = x.astype(x.dtype.newbyteorder("S"))
    session = compile(layer, engine=engine)
    np.testing.assert_array_equal(session.run(None, {"x": swapped})[0], x)


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
@pytest.mark.parametrize("rows", [[[1.5, 2, 3, 4]], ((1.5, 2, 3, 4),), [[1, 2, 3, 4]]])
def test_numbers_without_a_type_become_the_models(
    layer: onnx.ModelProto, engine: Any, rows: Any
) -> None:
    found = compile(layer, engine=engine).run(None, {"x": rows})[0]
    np.testing.assert_array_equal(found, np.array(rows, f32))


def test_numbers_are_not_cut_at_the_point(model: Any) -> None:
    small = model("(int64[N] x) => (int64[N] y) { y = Neg(x) }")
    session = compile(small, engine="gossamer")
    np.testing.assert_array_equal(session.run(None, {"x": [1, 2]})[0], [-1, -2])
    with pytest.raises(DataError, match="input 'x' must be int64, not float64"):
        session.run(None, {"x": [1.5, 2]})


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
@pytest.mark.parametrize("feeds", [None, [np.ones((1, 4), f32)], np.ones((1, 4), f32)])
def test_feeds_have_names(layer: onnx.ModelProto, engine: Any, feeds: Any) -> None:
    with pytest.raises(DataError, match="must be a dict of arrays by name, not"):
        compile(layer, engine=engine).run(None, feeds)


def test_a_view_that_memory_does_not_hold_is_no_fault_of_the_model(layer: onnx.ModelProto) -> None:
    many = np.broadcast_to(np.ones(4, f32), (1 << 40, 4))
    with pytest.raises(DataError, match="more than this machine's memory; give fewer at once"):
        compile(layer, engine="onnxruntime").run(None, {"x": many})


@pytest.mark.parametrize("engine", ["gossamer", "onnxruntime"])
def test_the_third_argument_is_onnx_runtimes(layer: onnx.ModelProto, engine: Any) -> None:
    import onnxruntime

    x = np.ones((2, 4), f32)
    found = compile(layer, engine=engine).run(["y"], {"x": x}, onnxruntime.RunOptions())
    np.testing.assert_array_equal(found[0], x)
