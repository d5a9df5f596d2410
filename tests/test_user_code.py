"""An error in a user's code is told with its place, and with the traceback of that code alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gossamer as gs
from gossamer.errors import DataError, EvaluationError, GossamerError, ModelError, OptionError
from gossamer.models import open_model
from gossamer.models.calibration import read_batches
from gossamer.models.evaluated import Evaluated
from gossamer.models.onnx_model import OnnxModel
from gossamer.models.python_file import load_function
from gossamer.pruning.evaluation import score
from gossamer.user_code import describe, users_traceback

X = np.zeros((4, 64), np.float32)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file of the user's in which everything fails, each on a line of its own."""
    path = tmp_path / "theirs.py"
    path.write_text(
        "import json\n"
        "import torch\n"
        "def accuracy(model):\n"
        "    return helper(model)\n"
        "def helper(model):\n"
        "    return model.run(None, {'x': 'text'})\n"
        "def batches():\n"
        "    yield json.loads('{')\n"
        "def model():\n"
        "    raise KeyError('weights')\n"
        "class Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x[:, :1])\n"
        "def net():\n"
        "    return Net(64, 8)\n"
        "def chained(model):\n"
        "    try:\n"
        "        model()\n"
        "    except KeyError as error:\n"
        "        raise ValueError('second') from error\n"
        "def loss(returned, batch):\n"
        "    return batch['labels']\n"
    )
    return path


def traced(error: GossamerError) -> list[str]:
    """The places in a traceback, and what is said at its end."""
    lines = users_traceback(error).splitlines()
    places = [line.split(",")[1:] for line in lines if line.startswith("  File")]
    return [",".join(place).strip() for place in places] + lines[-1:]


def test_of_a_call_into_gossamer_the_user_s_frames_are_shown(
    theirs: Path, small_onnx: Path
) -> None:
    with pytest.raises(EvaluationError, match=r"evaluate failed: .* at theirs\.py:6") as caught:
        score(load_function(f"{theirs}:accuracy"), open_model(small_onnx))
    *places, said = traced(caught.value)
    assert places == ["line 4, in accuracy", "line 6, in helper"]
    assert said.startswith("gossamer.errors.DataError: ")


def test_of_a_call_into_a_library_its_last_frame_is_shown_too(theirs: Path) -> None:
    with pytest.raises(DataError, match=r"JSONDecodeError: .* at theirs\.py:8") as caught:
        read_batches(f"{theirs}:batches", [])
    first, last, said = traced(caught.value)
    assert first == "line 8, in batches"
    assert last.endswith("in raw_decode")
    assert said.startswith("json.decoder.JSONDecodeError")


def test_a_model_s_factory_and_its_forward_are_user_s_code(theirs: Path) -> None:
    with pytest.raises(ModelError, match=r"KeyError: 'weights' at theirs\.py:10") as caught:
        open_model(f"{theirs}:model")
    assert traced(caught.value) == ["line 10, in model", "KeyError: 'weights'"]
    with pytest.raises(DataError, match=r"does not run .*RuntimeError.* at theirs\.py:13"):
        gs.sparsify(f"{theirs}:net", {"x": X}, sparsity=0.5, layers=".*")


def test_a_task_loss_is_user_s_code(theirs: Path) -> None:
    dense = torch.nn.Linear(64, 8)
    sparse = gs.sparsify(dense, X, sparsity=0.5, layers=".*", solver="magnitude")
    loss = load_function(f"{theirs}:loss")
    with pytest.raises(EvaluationError, match=r"KeyError: 'labels' at theirs\.py:22"):
        gs.recover(sparse, dense, X, steps=1, task_loss=loss)


def test_a_file_that_is_no_python_shows_where(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text("x = 1\ndef f(:\n")
    with pytest.raises(OptionError, match=r"SyntaxError: .*theirs\.py, line 2") as caught:
        load_function(f"{file}:f")
    assert f'File "{file}", line 2' in users_traceback(caught.value)


def test_causes_in_the_user_s_code_are_shown_before(theirs: Path) -> None:
    def raising() -> None:
        raise KeyError("first")

    with pytest.raises(EvaluationError) as caught:
        score(lambda _: load_function(f"{theirs}:chained")(raising), open_model(torch.nn.ReLU()))
    shown = users_traceback(caught.value)
    assert shown.index("KeyError: 'first'") < shown.index("ValueError: second")
    assert "direct cause" in shown


def test_without_user_s_code_there_is_nothing_to_show() -> None:
    try:
        Evaluated(OnnxModel.__new__(OnnxModel), None).train()
    except DataError as error:
        without: Any = error.with_traceback(None)
    assert describe(without).endswith("with eval()")
    assert users_traceback(without) == ""
    try:
        raise OptionError("ours") from without
    except OptionError as error:
        assert users_traceback(error) == ""
