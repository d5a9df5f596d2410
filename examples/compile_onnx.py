"""Compile a sparse ONNX model, run it, and check it against ONNX Runtime.

The model is made here, so that nothing need be downloaded: two layers, 90 % of their weights zero.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import gossamer as gs

random = np.random.default_rng(0)


def sparse_weight(rows: int, columns: int) -> np.ndarray:
    """Return normal random weights of which a tenth is kept."""
    weight = random.standard_normal((rows, columns)) * (random.random((rows, columns)) < 0.1)
    return weight.astype(np.float32)


model = helper.make_model(
    helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"]),
            helper.make_node("Relu", ["h"], ["a"]),
            helper.make_node("MatMul", ["a", "w2"], ["y"]),
        ],
        "two_layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 128])],
        [
            numpy_helper.from_array(sparse_weight(512, 1024), "w1"),
            numpy_helper.from_array(sparse_weight(1024, 128), "w2"),
        ],
    ),
    opset_imports=[helper.make_opsetid("", 17)],
    ir_version=8,
)

with tempfile.TemporaryDirectory() as name:
    dense_file, sparse_file = Path(name) / "model.onnx", Path(name) / "model.gossamer.safetensors"
    onnx.save(model, dense_file)
    gs.save(model, sparse_file)
    print(f"{dense_file.stat().st_size} bytes as ONNX, {sparse_file.stat().st_size} sparse")

    session = gs.compile(sparse_file, threads=1)
    for batch in (1, 32):  # the batch size is a run-time argument: nothing is compiled again
        x = random.standard_normal((batch, 512)).astype(np.float32)
        (ours,) = session.run(None, {"x": x})
        (theirs,) = onnxruntime.InferenceSession(dense_file).run(None, {"x": x})
        difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
        print(f"batch {batch}: within {difference:.0e} of ONNX Runtime")

    for line in session.explain():
        print(f"{line.op:10} {line.kernel:20} sparsity {line.sparsity or 0:.2f}")
