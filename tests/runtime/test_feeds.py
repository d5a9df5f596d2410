"""What a caller feeds: an array of the right type and shape, or one line with the remedy."""

from __future__ import annotations

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
    with pytest.raises(OptionError, match="threads must be a whole number, not"):
        compile(layer, threads=threads)
    assert compile(layer, threads=np.int64(1)).threads == 1  # type: ignore[arg-type]
