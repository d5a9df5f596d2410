"""What is fuzzed: each takes bytes, and may raise nothing but a `GossamerError`."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
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


# Weights of the models that are made here.
_ONES = np.ones((40, 40), np.float32)
_OTHER = np.arange(40 * 64, dtype=np.float32).reshape(40, 64)


def _scratch(name: str) -> Path:
    return FOLDER / f"{name}.{os.getpid()}"


def read_model(data: bytes) -> None:
    """ONNX's readers and the importer; the first byte says what the model behind it is given as."""
    from gossamer.formats import load_onnx, save_onnx
    from gossamer.runtime import hazards, onnx_file
    from gossamer.runtime.onnx_import import import_model
    from gossamer.runtime.whole import Source

    way, model = _way(data)
    path = _scratch("model.onnx")
    if way == "file":
        path.write_bytes(model)
        path.with_name("beside.bin").write_bytes(bytes(range(256)) * 32)
        parts = onnx_file.read(path)
    elif way == "message":
        import onnx

        try:
            message = onnx.ModelProto.FromString(model)
        except Exception:
            return
        Source(message).remember()
        parts = onnx_file.read(message, [("w", _ONES)])
    elif way == "checked":
        path.write_bytes(model)
        Source(path)
        loaded, again = load_onnx(path), _scratch("again.onnx")
        save_onnx(loaded, again, sparse_initializers=True)
        load_onnx(again)
        hazards.mend(loaded)
        hazards.guard(loaded, ())
        hazards.check_external(loaded, ())
        return
    else:
        parts = onnx_file.read(model)
    import_model(parts.model, parts.weights)


_WAYS = ("bytes", "file", "message", "checked")


def _way(data: bytes) -> tuple[str, bytes]:
    return _WAYS[(data[0] if data else 0) % len(_WAYS)], data[1:]


def change_model(data: bytes, chance: random.Random) -> bytes | None:
    """A model with some fields changed, now and then given in another way."""
    changed = mutate.message(data[1:], chance)
    if changed is None:
        return None
    first = data[:1] if chance.random() < 0.9 else bytes([chance.randrange(len(_WAYS))])
    return first + changed


def model_seeds() -> Iterator[bytes]:
    for position, model in enumerate(_models()):
        yield bytes([position % len(_WAYS)]) + model
    for model in (*_odd_models(), *_forest()):
        for way in range(len(_WAYS)):
            yield bytes([way]) + model


def _models() -> Iterator[bytes]:
    from differential import models

    for seed in range(60):
        try:
            yield models.make(seed).model.SerializeToString()
        except models.Invalid:
            continue


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

    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    for weight in (_ONES, _OTHER):
        yield model([product], [numpy_helper.from_array(weight, "w")])
    beside = TensorProto(name="w", data_type=1, dims=[40, 40], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "beside.bin"), ("offset", "0"), ("length", "6400")):
        beside.external_data.add(key=key, value=value)
    yield model([product], [beside])
    constant = helper.make_node("Constant", [], ["w"], value=beside)
    yield model([constant, product], [])
    for operator, inputs, outputs, attribute in (
        ("Max", ["x", ""], ["y"], {}),
        ("Split", ["x"], ["y", ""], {}),
        ("Split", ["x"], ["y", "z", "a"], {"num_outputs": 2}),
        ("GatherND", ["x", "i"], ["y"], {"batch_dims": -1}),
        ("Clip", ["x", "", ""], ["y"], {}),
    ):
        yield model([helper.make_node(operator, inputs, outputs, **attribute)], [])
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
        {"value_strings": ["a"]},
        {"value_string": "a"},
    ):
        node = helper.make_node("Constant", [], ["c"], **more)
        cast = helper.make_node("Cast", ["c"], ["f"], to=1)
        yield model([node, cast, helper.make_node("Add", ["x", "f"], ["y"])], [])


def _forest() -> Iterator[bytes]:
    """Attributes of thousands of numbers and tensors in them, in functions and branches as well."""
    import onnx

    numbers = ", ".join(["1"] * 3000)
    body = f"""{{
        a = Constant<value_ints = [{numbers}]>()
        b = Constant<value = float[1200] {{{", ".join(["0"] * 1200)}}}>()
        c = If<then_branch = p () => (float[1200] d) {{ d = Constant<value = float[1200]
            {{{", ".join(["0"] * 1200)}}}>() }}, else_branch = q () => (float[1200] e)
            {{ e = Constant<value_floats = [{", ".join(["1.0"] * 1200)}]>() }}>(t)
        y = Add(b, c) }}"""
    yield onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> main (bool t) => (float[1200] y) {body}'
    ).SerializeToString()
    yield onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        main (bool t, float[1, 4, 2] x) => (float[1200] y, float z) {{
            y = own.forest(t)
            z = LayerNormalization(x, x, "") }}
        <domain: "own", opset_import: ["" : 17]> forest (t) => (y) {body}"""
    ).SerializeToString()


def read_sparse(data: bytes) -> None:
    """The sparse file: what it gives can be written again, and is the same then.

    Behind an odd first byte comes a graph, which is written beside some tensors.
    """
    from gossamer.formats import load, save

    path, again = _scratch("model.gossamer.safetensors"), _scratch("again.gossamer.safetensors")
    if data and data[0] % 2:
        save({"ones": _ONES, "layer.weight": np.ascontiguousarray(_OTHER.T)}, again, graph=data[1:])
        load(again).onnx()
        return
    path.write_bytes(data[1:])
    file = load(path)
    arrays = file.arrays()
    save(arrays, again)
    _same(load(again).arrays(), arrays)
    if find_spec("torch") is not None:
        save(file.state_dict(), again)
        _same(load(again).arrays(), arrays)
    if file.description.graph is not None:
        model, (_, weights) = file.onnx(), file.onnx_parts()
        _same(dict(weights), dict(weights))
        for saved, graph in ((model, None), (arrays, model)):
            save(saved, again, graph=graph)
            load(again).onnx()
    save(arrays, again, values="fp16")
    load(again).onnx_parts()


def _same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def change_sparse(data: bytes, chance: random.Random) -> bytes | None:
    """A file, or the graph behind an odd first byte, with something changed."""
    change = mutate.message if data and data[0] % 2 else mutate.container
    changed = change(data[1:], chance)
    return None if changed is None else data[:1] + changed


def sparse_seeds() -> Iterator[bytes]:
    for content in _sparse_files():
        yield b"\0" + content
    for model in [*_odd_models(), *itertools.islice(_models(), 0, None, 12)]:
        yield b"\1" + model


def _sparse_files() -> Iterator[bytes]:
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
    for position, data in enumerate(_models()):
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
    document["users"]["positions_m"] = [[-1.0, 2.0]] * document["users"]["count"]
    yield yaml.safe_dump(document).encode()
    yield b"access_points: 1\n"
    yield b"when: 2001-99-99\n"
    yield b"- 1\n"


TARGETS = {
    "reader": Target(
        read_model,
        model_seeds,
        change_model,
        (
            "runtime/onnx_file.py",
            "runtime/onnx_import.py",
            "runtime/wire.py",
            "runtime/protos.py",
            "runtime/outline.py",
            "runtime/hazards.py",
            "runtime/emptiness.py",
            "runtime/division.py",
            "runtime/guards.py",
            "formats/onnx_io.py",
            "graphs/external_data.py",
            "graphs/check.py",
            "graphs/sparse_tensors.py",
        ),
    ),
    "sparse": Target(
        read_sparse,
        sparse_seeds,
        change_sparse,
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


def _unchecked_elements() -> None:
    """A small tensor whose elements nobody compares with its shape."""
    from onnx import numpy_helper

    from gossamer.runtime import onnx_import, protos

    def array(tensor: Any) -> Any:
        return np.asarray(numpy_helper.to_array(tensor))

    protos.tensor_array = onnx_import.tensor_array = array  # type: ignore[attr-defined]


def _unchecked_mask() -> None:
    """A sparse tensor whose mask and values nobody compares with its shape."""
    from gossamer.formats import encoding

    encoding.check = lambda tensor, container: None


def _unchecked_points() -> None:
    """Places in the scenario that may be anything."""
    from gossamer.edge import scenario

    scenario._points = lambda value, key, count: tuple((float(x), float(y)) for x, y in value)


PLANTS: dict[str, tuple[str, Callable[[], None]]] = {
    "unchecked elements": ("reader", _unchecked_elements),
    "unchecked mask": ("sparse", _unchecked_mask),
    "unchecked points": ("scenario", _unchecked_points),
}

__all__ = ["PLANTS", "TARGETS", "Target"]
