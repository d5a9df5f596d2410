"""The public verbs together: sparsify, save, load, compile, compare."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gossamer as gs
import gossamer.runtime
from gossamer.errors import GossamerError, ModelError

X = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)


def test_a_module_goes_the_whole_way(module: Any, tmp_path: Path) -> None:
    result = gs.sparsify(module, {"input": X}, sparsity=0.75)
    path = tmp_path / "model.gossamer.safetensors"
    gs.save(result.model, path)
    import torch

    restored = torch.nn.Sequential(*[type(part)(*_sizes(part)) for part in module]).eval()
    restored.load_state_dict(gs.load(path).state_dict())
    with gs.compile(restored, X[:1], threads=1) as session:
        (ours,) = session.run(None, {"input": X})
    with torch.inference_mode():
        theirs = result.model(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_sparse_module_is_recovered(module: Any) -> None:
    import torch

    def error(model: Any) -> float:
        with torch.inference_mode():
            return -float(
                (model(torch.from_numpy(X)) - module(torch.from_numpy(X))).square().mean()
            )

    sparse = gs.sparsify(module, {"input": X}, sparsity=0.9)
    found = gs.recover(sparse, module, X, steps=30, evaluate=error, schedule="linear")
    assert found.after.sparse > found.before.sparse
    assert torch.equal(found.model[0].weight == 0, sparse.model[0].weight == 0)
    assert gs.inspect(found.model).sparsity == pytest.approx(gs.inspect(sparse.model).sparsity)


def _sizes(part: Any) -> tuple[int, ...]:
    return (part.in_features, part.out_features) if hasattr(part, "in_features") else ()


def test_a_sparse_file_is_sparsified_further(small_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "small.gossamer.safetensors"
    gs.save(onnx.load(small_onnx), path)
    result = gs.sparsify(path, sparsity=0.5, solver="magnitude")
    assert gs.inspect(result.model).sparsity == pytest.approx(0.5, abs=0.01)


# A sample of what comes out of a configuration file, an empty variable or a wrong variable.
WRONG: dict[str, Any] = {
    "None": None,
    "int": 5,
    "negative": -1,
    "float": 2.5,
    "nan": float("nan"),
    "huge": 10**400,
    "True": True,
    "no text": "",
    "text": "nope",
    "NUL": "a\0b",
    "endless": "a" * 5000,
    "bytes": b"ab",
    "path": Path("absent"),
    "list": [1],
    "empty list": [],
    "list of text": ["a"],
    "dict": {1: 2},
    "dict of text": {"x": "s"},
    "array": X,
    "array without axes": np.zeros(()),
    "array of objects": {"x": np.array([None, 1], object)},
    "type": int,
    "function": lambda *given: None,
    "set": {1},
    "message": onnx.TensorProto(),
}


@pytest.fixture(scope="module")
def layer() -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(
        "layer (float[N, 64] x) => (float[N, 8] y) { y = MatMul(x, w) }"
    )
    graph.initializer.append(onnx.numpy_helper.from_array(X[:, :8], "w"))
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )


VERBS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "compile": (gs.compile, {}),
    "runtime.compile": (gossamer.runtime.compile, {"engine": "gossamer"}),
    "inspect": (gs.inspect, {}),
    "save": (gs.save, {"path": "layer.gossamer.safetensors"}),
    "sparsify": (gs.sparsify, {"sparsity": 0.5, "solver": "magnitude"}),
}


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        *(("compile", name) for name in ("model", "threads", "dynamic_axes")),
        *(("runtime.compile", n) for n in ("model", "weights", "threads", "target", "engine")),
        *(("inspect", name) for name in ("model", "example")),
        *(("save", name) for name in ("model", "path", "values", "graph")),
        *(("sparsify", n) for n in ("objective", "allocation", "solver", "pattern", "layers")),
        *(("sparsify", n) for n in ("sparsity", "budget", "threads", "max_drop", "evaluate")),
        *(("sparsify", n) for n in ("calibration", "folder", "levels", "search_seconds")),
    ],
)
def test_an_argument_of_another_kind_is_one_line(
    verb: str,
    argument: str,
    layer: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if verb == "sparsify":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    call, given = VERBS[verb]
    for wrong in WRONG.values():
        try:
            call(**{"model": layer, **given, argument: wrong})
        except GossamerError as error:
            assert "\n" not in str(error)


def test_an_error_is_one_line_whatever_it_shows() -> None:
    assert str(ModelError(f"x is {X[:3, :2]};\n give another")).count("\n") == 0


@pytest.mark.usefixtures("memory_unmeasured")
def test_compare_takes_modules_and_arrays(module: Any) -> None:
    pytest.importorskip("onnxruntime")
    sparse = gs.sparsify(module, X, sparsity=0.9, solver="magnitude").model
    proof = gs.compare(
        module,
        sparse,
        X[:4],
        evaluate=lambda model: [1.0, float(next(model.parameters()).count_nonzero() > 4000)],
        threads=1,
        min_time=0.1,
        max_time=0.1,
        rivals=False,
    )
    found = proof.to_dict()
    assert [one["name"] for one in found["candidates"]] == [
        "dense, ONNX Runtime",
        "dense, Gossamer",
        "sparse, Gossamer",
    ]
    assert found["candidates"][1]["max_relative_difference"] < 1e-4
    # The dense first layer has 8,192 weights, the sparse one a tenth.
    assert found["scores"]["dense"] == 1.0
    assert found["scores"]["sparse"] == 0.5


def test_gossamer_is_imported_in_a_blink() -> None:
    script = "import time; t = time.perf_counter(); import gossamer; print(time.perf_counter() - t)"
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.3
