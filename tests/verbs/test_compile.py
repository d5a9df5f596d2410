"""Compiling whatever names a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gossamer as gs
import gossamer.runtime
from gossamer.errors import DataError, GossamerError, ModelError

X = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)


def test_a_module_that_is_compiled_needs_an_example(module: Any) -> None:
    with pytest.raises(DataError, match="give example inputs"):
        gs.compile(module)


def test_the_example_may_be_named_a_tensor_or_a_tuple(module: Any) -> None:
    import torch

    for example in ({"input": X[:2]}, torch.from_numpy(X[:2]), (X[:2],)):
        with gs.compile(module, example, threads=1) as session:
            assert session.run(None, {"input": X[:5]})[0].shape == (5, 10)


def test_a_misfit_example_is_named(module: Any) -> None:
    with pytest.raises(DataError, match=r"the example has an array 'pixels'.*input"):
        gs.compile(module, {"pixels": X})


def test_a_sparse_file_runs_without_torch(small_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.gossamer.safetensors"
    gs.save(onnx.load(small_onnx), path)
    script = (
        "import sys, numpy as np, gossamer as gs; "
        "s = gs.compile(sys.argv[1], threads=1); "
        "print(s.run(None, {'x': np.ones((2, 64), np.float32)})[0].shape); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(2, 10)\n"


def test_a_sparse_file_without_a_graph_does_not_compile(tmp_path: Path) -> None:
    path = tmp_path / "arrays.gossamer.safetensors"
    gs.save({"w": np.eye(8, dtype=np.float32)}, path)
    with pytest.raises(ModelError, match="carries no ONNX graph"):
        gs.compile(path)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(GossamerError, match="int"):
        gs.compile(3)
