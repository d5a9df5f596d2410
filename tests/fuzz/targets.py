"""What is fuzzed: each takes bytes, and may raise nothing but a `GossamerError`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import mutate

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("FUZZ_SCRATCH", tempfile.gettempdir()))


@dataclass(frozen=True)
class Target:
    """One reader."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    """Files that the project itself writes."""
    change: Callable[..., bytes | None]
    """A change that keeps the outer form; None where the bytes have none."""
    covers: tuple[str, ...]
    """The modules that it is for."""


def _scratch(name: str) -> Path:
    return FOLDER / f"{name}.{os.getpid()}"


def read_model(data: bytes) -> None:
    """ONNX's reader and the importer, from bytes and from a file with data beside it."""
    from gossamer.runtime import onnx_file
    from gossamer.runtime.onnx_import import import_model

    path = _scratch("model.onnx")
    if len(data) % 2:
        path.write_bytes(data)
        path.with_name("beside.bin").write_bytes(bytes(range(256)) * 32)
        parts = onnx_file.read(path)
    else:
        parts = onnx_file.read(data)
    import_model(parts.model, parts.weights)


def model_seeds() -> Iterator[bytes]:
    from differential import models

    for seed in range(60):
        try:
            yield models.make(seed).model.SerializeToString()
        except models.Invalid:
            continue
    yield from _odd_models()


def _odd_models() -> Iterator[bytes]:
    """Functions, sparse tensors, large weights, and weights beside the file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def model(nodes: list[onnx.NodeProto], tensors: list[TensorProto], **more: object) -> bytes:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 40])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, "g", [x], [y], tensors)
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        made = helper.make_model(graph, opset_imports=imports, ir_version=8, **more)
        return bytes(made.SerializeToString())

    weight = np.ones((40, 40), np.float32)
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    yield model([product], [numpy_helper.from_array(weight, "w")])
    beside = TensorProto(name="w", data_type=1, dims=[40, 40], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "beside.bin"), ("offset", "0"), ("length", "6400")):
        beside.external_data.add(key=key, value=value)
    yield model([product], [beside]) + b"\0"[:0]
    inner = helper.make_node("Add", ["a", "a"], ["b"])
    function = helper.make_function(
        "own", "twice", ["a"], ["b"], [inner], [helper.make_opsetid("", 17)]
    )
    call = helper.make_node("twice", ["x"], ["y"], domain="own")
    yield model([call], [], functions=[function])
    values = numpy_helper.from_array(np.ones(3, np.float32), "w")
    for indices in (np.array([1, 5, 9]), np.array([[0, 1], [1, 2], [3, 3]])):
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "i"), [40, 40])
        node = helper.make_node("Constant", [], ["w"], sparse_value=sparse)
        yield model([node, product], [])
    for more in (
        {"value_float": 2.0},
        {"value_floats": [1.0]},
        {"value_int": 3},
        {"value_ints": [1]},
    ):
        node = helper.make_node("Constant", [], ["c"], **more)
        cast = helper.make_node("Cast", ["c"], ["f"], to=1)
        yield model([node, cast, helper.make_node("Add", ["x", "f"], ["y"])], [])


def read_sparse(data: bytes) -> None:
    """The sparse file, and all that it gives; what it holds can be written again."""
    from gossamer.formats import load, save

    path = _scratch("model.gossamer.safetensors")
    path.write_bytes(data)
    file = load(path)
    arrays = file.arrays()
    for transform in (file.onnx, file.onnx_parts):
        if file.description.graph is not None:
            transform()
    if arrays:
        again = _scratch("again.gossamer.safetensors")
        for values in ("fp32", "fp16"):
            save(arrays, again, values=values)  # type: ignore[arg-type]
            load(again)


def sparse_seeds() -> Iterator[bytes]:
    import ml_dtypes
    import onnx

    from gossamer.formats import save

    rng = np.random.default_rng(0)
    path = _scratch("seed.gossamer.safetensors")
    kept = np.asarray(rng.standard_normal((64, 40)) * (rng.random((64, 40)) < 0.1), np.float32)
    shared = {"a": kept, "b": kept, "small": np.ones(3, np.float32), "none": np.zeros((0, 2))}
    kinds = ("float64", "int64", "int8", "bool", "float16", "uint8")
    every = {kind: np.asarray(kept[:9, :9], kind) for kind in kinds}
    narrow = {"b16": kept.astype(ml_dtypes.bfloat16), "f8": kept.astype(ml_dtypes.float8_e4m3fn)}
    for tensors in (shared, every, narrow, {"scalar": np.float32(2)}):
        for values in ("fp32", "fp16"):
            save(tensors, path, values=values)  # type: ignore[arg-type]
            yield path.read_bytes()
    for position, data in enumerate(model_seeds()):
        if position % 12 == 0:
            save(onnx.load_from_string(data), path)
            yield path.read_bytes()
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 40])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(kept, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for tensors in ({"layer.weight": kept}, {"layer.weight": np.ascontiguousarray(kept.T)}):
        save(tensors, path, graph=model)
        yield path.read_bytes()


def read_scenario(data: bytes) -> None:
    """The scenario of an edge system."""
    from gossamer.edge.scenario import read_scenario as read

    path = _scratch("scenario.yaml")
    path.write_bytes(data)
    read(path)


def scenario_seeds() -> Iterator[bytes]:
    import yaml

    text = (ROOT / "examples" / "edge-scenario.yaml").read_bytes()
    yield text
    document = yaml.safe_load(text)
    count = document["access_points"]["count"]
    document["access_points"]["positions_m"] = [[1.0 + i, 2.0] for i in range(count)]
    document["users"]["sinr_target_db"] = [3.0] * document["users"]["count"]
    document["sweep_sinr_target_db"] = [1.0, 2.0]
    yield yaml.safe_dump(document).encode()
    yield b"access_points: 1\n"
    yield b"- 1\n"


TARGETS = {
    "reader": Target(
        read_model,
        model_seeds,
        mutate.message,
        ("runtime/onnx_file.py", "runtime/onnx_import.py", "runtime/wire.py", "runtime/protos.py"),
    ),
    "sparse": Target(
        read_sparse,
        sparse_seeds,
        mutate.container,
        (
            "formats/sparse_file.py",
            "formats/description.py",
            "formats/encoding.py",
            "formats/dtypes.py",
            "formats/onnx_graph.py",
        ),
    ),
    "scenario": Target(read_scenario, scenario_seeds, mutate.document, ("edge/scenario.py",)),
}


# Faults to be found


def _unchecked_indices() -> None:
    """A sparse tensor whose indices nobody looks at."""
    from gossamer.runtime import onnx_import, protos

    def dense(sparse: Any) -> Any:
        values, indices = protos.tensor_array(sparse.values), protos.tensor_array(sparse.indices)
        made = np.zeros(tuple(sparse.dims), values.dtype)
        made.reshape(-1)[indices.reshape(-1)] = values
        return made

    protos.sparse_array = onnx_import.sparse_array = dense  # type: ignore[attr-defined]


def _unchecked_mask() -> None:
    """A sparse tensor whose mask and values nobody compares with its shape."""
    from gossamer.formats import encoding

    encoding.check = lambda tensor, container: None


def _unchecked_part() -> None:
    """A part of the scenario that may be anything."""
    from gossamer.edge import scenario

    scenario._mapping = lambda kind, document, where: dict(document)  # type: ignore[assignment]


PLANTS: dict[str, tuple[str, Callable[[], None]]] = {
    "unchecked indices": ("reader", _unchecked_indices),
    "unchecked mask": ("sparse", _unchecked_mask),
    "unchecked part": ("scenario", _unchecked_part),
}

__all__ = ["PLANTS", "TARGETS", "Target"]
