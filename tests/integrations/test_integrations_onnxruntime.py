"""The drop-in for ONNX Runtime's session: what that gives, raises and takes is the truth."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_inference_collection as collection
from onnxruntime.capi import onnxruntime_pybind11_state as theirs

import gossamer
from gossamer.errors import DataError, GossamerError, OptionError
from gossamer.integrations.onnxruntime import IOBinding
from gossamer.integrations.onnxruntime.ort_value import OwnValue
from gossamer.onnx_runtime import session_class
from gossamer.runtime import contest
from gossamer.runtime.codegen import cache

f32 = np.float32
WEIGHT = (np.random.default_rng(0).standard_normal((16, 8))).astype(f32)
X = np.random.default_rng(1).standard_normal((2, 16)).astype(f32)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSAMER_CACHE", str(tmp_path_factory.mktemp("cache")))
        cache.folder.cache_clear()
        yield
    cache.folder.cache_clear()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated code wins, however small the model."""
    monkeypatch.setattr(contest, "forfeit_unread", lambda operators: "")
    monkeypatch.setattr(contest, "forfeit", lambda graph: "")
    monkeypatch.setattr(contest, "lost", lambda *what: "")


def layer(*, default: bool = False, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """y = x w + b, with b an input that has a default if asked for."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])]
    if default:
        inputs.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [8]))
    graph = helper.make_graph(
        nodes or [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "layer",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.ones(8, f32), "b")],
        doc_string="of a graph",
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="test", doc_string="of a model"
    )
    model.metadata_props.add(key="names", value="a, b")
    return model


LAYER = layer().SerializeToString()


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


@pytest.fixture
def session(native: None) -> gossamer.InferenceSession:
    made = gossamer.InferenceSession(LAYER)
    assert made.engine == "gossamer"
    return made


@pytest.fixture
def reference() -> Any:
    return session_class()(LAYER)


# What a program asks a session


def test_it_says_what_onnx_runtime_says_of_a_model(
    session: gossamer.InferenceSession, reference: Any
) -> None:
    for ask in ("get_inputs", "get_outputs", "get_overridable_initializers"):
        ours = [(port.name, port.shape, port.type) for port in getattr(session, ask)()]
        assert ours == [(port.name, port.shape, port.type) for port in getattr(reference, ask)()]
    for field in (
        "custom_metadata_map",
        "description",
        "domain",
        "graph_description",
        "graph_name",
        "producer_name",
        "version",
    ):
        assert getattr(session.get_modelmeta(), field) == getattr(reference.get_modelmeta(), field)
    for ask in ("get_providers", "get_provider_options", "end_profiling"):
        assert getattr(session, ask)() == getattr(reference, ask)()
    assert isinstance(session.get_session_options(), onnxruntime.SessionOptions)


def test_it_takes_paths_and_bytes_and_sparse_files(native: None, tmp_path: Path) -> None:
    path, sparse = tmp_path / "any.name", tmp_path / "model.gossamer.safetensors"
    path.write_bytes(LAYER)
    gossamer.save(layer(), sparse)
    for given in (path, str(path), LAYER, sparse, tmp_path):
        found = gossamer.InferenceSession(given).run(["y"], {"x": X})[0]
        np.testing.assert_allclose(found, X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)
    for given in (layer(), bytearray(LAYER)):
        with pytest.raises(TypeError, match="Unable to load from type"):
            gossamer.InferenceSession(given)


def test_it_is_a_session_of_onnx_runtime_to_those_who_look(
    session: gossamer.InferenceSession,
) -> None:
    assert isinstance(session, onnxruntime.InferenceSession)

    class Wrapped(gossamer.InferenceSession):
        def __init__(self, path: str, **named: Any) -> None:
            super().__init__(path, providers=["CPUExecutionProvider"], **named)

        def __call__(self, x: Any) -> Any:
            return self.run(None, {"x": x})[0]

    assert Wrapped(LAYER)(X).shape == (2, 8)  # type: ignore[arg-type]


def test_what_is_onnx_runtimes_own_is_asked_of_it(session: gossamer.InferenceSession) -> None:
    binding = onnxruntime.IOBinding(session)
    binding.bind_cpu_input("x", X)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], X @ WEIGHT + 1, rtol=1e-4)
    assert session._model_path is None and session._enable_fallback
    assert not hasattr(session, "no_such_thing")


# Runs


@pytest.mark.parametrize("names", [None, [], ["y"], ["y", "y"]])
def test_runs_give_what_onnx_runtime_gives(
    session: gossamer.InferenceSession, reference: Any, names: Any
) -> None:
    for x in (X, X.tolist(), onnxruntime.OrtValue.ortvalue_from_numpy(X)):
        ours = session.run(output_names=names, input_feed={"x": x}, run_options=None)
        expected = reference.run(output_names=names, input_feed={"x": x}, run_options=None)
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_outputs_are_arrays_of_the_callers_own(native: None) -> None:
    """Whatever they are in the graph: inputs, constants, views, or one value twice."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Identity", ["y"], ["same"]),
        helper.make_node("Identity", ["x"], ["fed"]),
        helper.make_node("Flatten", ["x"], ["view"], axis=0),
        helper.make_node("Identity", ["b"], ["constant"]),
    ]
    model = layer(nodes=nodes)
    for name in ("same", "fed", "view", "constant", "b"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    made = gossamer.InferenceSession(model.SerializeToString())
    assert made.engine == "gossamer"
    x = X.copy()
    first = made.run(None, {"x": x})
    kept = [array.copy() for array in first]
    for array in first:
        array[...] = 7
    np.testing.assert_array_equal(x, X)
    for one, other in zip(made.run(None, {"x": x}), kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_threads_may_run_it_at_once(session: gossamer.InferenceSession) -> None:
    with ThreadPoolExecutor(8) as pool:
        inputs = [np.full((1 + number % 3, 16), number, f32) for number in range(64)]
        results = list(pool.map(lambda x: session.run(None, {"x": x})[0], inputs))
    for x, found in zip(inputs, results, strict=True):
        np.testing.assert_allclose(found, x @ WEIGHT + 1, rtol=1e-3, atol=1e-3)


def test_run_options_end_a_run_and_bring_adapters(native: None) -> None:
    options = onnxruntime.RunOptions()
    session = gossamer.InferenceSession(layer(default=True).SerializeToString())
    np.testing.assert_allclose(
        session.run(None, {"x": X}, options)[0], X @ WEIGHT + 1, rtol=1e-4, atol=1e-5
    )
    changed = session.run(None, {"x": X, "b": np.zeros(8, f32)}, options)[0]
    np.testing.assert_allclose(changed, X @ WEIGHT, rtol=1e-4, atol=1e-5)
    options.terminate = True
    with pytest.raises(theirs.Fail):
        session.run(None, {"x": X}, options)


def test_an_adapter_takes_the_place_of_a_default(native: None, tmp_path: Path) -> None:
    file = tmp_path / "adapter"
    adapter = onnxruntime.AdapterFormat()
    adapter.set_parameters({"b": onnxruntime.OrtValue.ortvalue_from_numpy(np.full(8, 5, f32))})
    adapter.export_adapter(str(file))
    loaded = onnxruntime.LoraAdapter()
    loaded.Load(str(file))
    options = onnxruntime.RunOptions()
    options.add_active_adapter(loaded)
    session = gossamer.InferenceSession(layer(default=True).SerializeToString())
    assert session.engine == "gossamer"
    found = session.run(None, {"x": X}, options)[0]
    np.testing.assert_allclose(found, X @ WEIGHT + 5, rtol=1e-4, atol=1e-5)


def test_a_run_apart_calls_back(session: gossamer.InferenceSession) -> None:
    calls: list[Any] = []
    done = threading.Semaphore(0)

    def callback(*given: Any) -> None:
        calls.append(given)
        done.release()

    session.run_async(["y"], {"x": X}, callback, "mine")
    session.run_async(["y"], {"x": X.astype(np.float64)}, callback, "mine")
    assert done.acquire(timeout=60) and done.acquire(timeout=60)
    (results, data, wrong), failed = calls
    np.testing.assert_allclose(results[0], X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)
    assert (data, wrong) == ("mine", "")
    assert failed[:2] == ([], "mine") and "must be float32" in failed[2]


def test_values_in_and_out(session: gossamer.InferenceSession) -> None:
    value = onnxruntime.OrtValue.ortvalue_from_numpy(X)
    (found,) = session.run_with_ort_values(None, {"x": value})
    assert isinstance(found, onnxruntime.OrtValue)
    np.testing.assert_allclose(found.numpy(), X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)


# Bindings


def test_bound_inputs_are_read_where_they_lie_and_outputs_written_there(
    session: gossamer.InferenceSession,
) -> None:
    binding = session.io_binding()
    assert isinstance(binding, IOBinding)
    x, out = X.copy(), np.zeros((2, 8), f32)
    binding.bind_input("x", "cpu", 0, f32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, TensorProto.FLOAT, out.shape, out.ctypes.data)
    for factor in (1, 2):
        x[...] = factor * X
        session.run_with_iobinding(binding)
        np.testing.assert_allclose(out, factor * X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], out)
        np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), out)


def test_values_may_be_bound(session: gossamer.InferenceSession) -> None:
    made = onnxruntime.OrtValue.ortvalue_from_shape_and_type((2, 8), f32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(X))
    binding.bind_ortvalue_output("y", made)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(made.numpy(), X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)
    assert binding.get_outputs() == [made]
    binding.clear_binding_inputs()
    with pytest.raises(DataError, match="input 'x' is missing"):
        session.run_with_iobinding(binding)
    binding.clear_binding_outputs()
    with pytest.raises(DataError, match="no output is bound"):
        session.run_with_iobinding(binding)


def test_what_cannot_be_bound_is_one_line(session: gossamer.InferenceSession) -> None:
    binding = session.io_binding()
    with pytest.raises(DataError, match="runs on the CPU, not on 'cuda'"):
        binding.bind_output("y", "cuda", 0)
    with pytest.raises(DataError, match="there is no 'z' to bind; there are x"):
        binding.bind_cpu_input("z", X)
    with pytest.raises(OptionError, match="needs `element_type` and `shape`"):
        binding.bind_output("y", buffer_ptr=64)
    small = np.zeros((1, 8), f32)
    binding.bind_cpu_input("x", X)
    binding.bind_output("y", "cpu", 0, f32, small.shape, small.ctypes.data)
    with pytest.raises(DataError, match=r"'y' is float32 \[2, 8\]; .* float32 \[1, 8\]"):
        session.run_with_iobinding(binding)
    with pytest.raises(DataError, match="another session's"):
        gossamer.InferenceSession(LAYER).run_with_iobinding(binding)


# Errors


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"output_names": None, "input_feed": {}},
        {"output_names": None, "input_feed": {"x": X, "z": X}},
        {"output_names": ["q"], "input_feed": {"x": X}},
        {"output_names": None, "input_feed": {"x": X.astype(np.float64)}},
        {"output_names": None, "input_feed": {"x": X[:, :3]}},
        {"output_names": None, "input_feed": {"x": X[0]}},
    ],
    ids=["missing", "no input", "no output", "type", "shape", "rank"],
)
def test_those_who_catch_onnx_runtimes_errors_catch_ours(
    native: None, reference: Any, given: Any, left: bool
) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = left
    session = gossamer.InferenceSession(LAYER, options)
    assert session.engine == ("onnxruntime" if left else "gossamer")
    error = outcome(lambda: session.run(**given))
    Path(session.end_profiling() or "nothing").unlink(missing_ok=True)
    assert isinstance(error, type(outcome(lambda: reference.run(**given))))
    assert isinstance(error, GossamerError) and "\n" not in str(error)
    # To another process it goes as ours alone.
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(error, type(again)) and str(again) == str(error)


@pytest.mark.parametrize("model", ["/no/such/model.onnx", b"junk"])
def test_a_model_that_cannot_be_opened(model: str | bytes) -> None:
    error = outcome(lambda: gossamer.InferenceSession(model))
    assert isinstance(error, type(outcome(lambda: session_class()(model))))
    assert isinstance(error, gossamer.errors.ModelError)


# Options and providers


def test_threads_and_sizes_hold_for_generated_code(native: None) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_free_dimension_override_by_name("batch", 2)
    ours, reference = (
        kind(LAYER, options) for kind in (gossamer.InferenceSession, session_class())
    )
    assert ours.engine == "gossamer"
    assert ours._compiled.threads == ours.get_session_options().intra_op_num_threads == 1
    for ask in ("get_inputs", "get_outputs"):
        assert [port.shape for port in getattr(ours, ask)()] == [
            port.shape for port in getattr(reference, ask)()
        ]
    np.testing.assert_allclose(ours.run(None, {"x": X})[0], X @ WEIGHT + 1, rtol=1e-4, atol=1e-5)
    with pytest.raises(theirs.InvalidArgument):
        ours.run(None, {"x": X[:1]})


def test_sizes_may_be_fixed_by_what_they_mean(native: None) -> None:
    model = layer()
    model.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_denotation("DATA_BATCH", 3)
    session = gossamer.InferenceSession(model.SerializeToString(), options)
    assert session.engine == "gossamer"
    assert session.get_inputs()[0].shape == [3, 16]


@pytest.mark.parametrize(
    ("option", "reason"),
    [("enable_profiling", "profile"), ("optimized_model_filepath", "optimizes it")],
)
def test_what_only_onnx_runtime_can_do_is_left_to_it(
    native: None, option: str, reason: str, tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.profile_file_prefix = str(tmp_path / "profile")
    setattr(options, option, str(tmp_path / "optimized") if "path" in option else True)
    session = gossamer.InferenceSession(LAYER, options)
    assert session.engine == "onnxruntime"
    assert reason in session.explain()[0].reason
    session.run(None, {"x": X})
    session.end_profiling()
    assert len(list(tmp_path.iterdir())) == 1


def test_options_that_change_weights_are_for_onnx_runtime(native: None) -> None:
    """Which they are the options do not tell."""
    model = layer()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="elsewhere")
    options = onnxruntime.SessionOptions()
    options.add_external_initializers(["w"], [onnxruntime.OrtValue.ortvalue_from_numpy(WEIGHT)])
    session = gossamer.InferenceSession(model.SerializeToString(), options)
    np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ WEIGHT + 1, rtol=1e-4)


def test_options_serve_many_sessions_and_stay_as_they_are(native: None) -> None:
    options = onnxruntime.SessionOptions()
    for _ in range(2):
        assert gossamer.InferenceSession(LAYER, options).engine == "gossamer"
    assert (options.intra_op_num_threads, options.log_severity_level) == (0, -1)
    with pytest.raises(TypeError, match="sess_options must be SessionOptions"):
        gossamer.InferenceSession(LAYER, ["CPUExecutionProvider"])


def test_a_provider_that_is_not_to_be_had_is_warned_of(native: None) -> None:
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not in available"):
        session = gossamer.InferenceSession(
            LAYER, providers=[("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]
        )
    assert session.engine == "gossamer"
    assert session.get_providers() == ["CPUExecutionProvider"]
    session.set_providers(["CPUExecutionProvider"], [{}])
    assert session.run(None, {"x": X})[0].shape == (2, 8)


def test_another_provider_that_is_to_be_had_is_onnx_runtimes(
    native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["XProvider", "CPUExecutionProvider"]
    )
    taken: list[Any] = []

    def record(source: Any, options: Any, **named: Any) -> Any:
        taken.append(named)
        return session_class()(source, options)

    monkeypatch.setattr("gossamer.runtime.ort.session_class", lambda: record)
    session = gossamer.InferenceSession(LAYER, providers=["XProvider"], disabled_optimizers=["A"])
    assert session.explain()[0].reason == "the provider asked for is XProvider"
    assert taken == [
        {"providers": ["XProvider"], "provider_options": [{}], "disabled_optimizers": ["A"]}
    ]


def test_a_model_in_the_format_of_onnx_runtime_is_left_to_it(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    session_class()(LAYER, options)
    for model in (tmp_path / "model.ort", (tmp_path / "model.ort").read_bytes()):
        session = gossamer.InferenceSession(model)
        assert session.engine == "onnxruntime"
        assert session.get_modelmeta().producer_name == "test"
        np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ WEIGHT + 1, rtol=1e-4)


# In place of ONNX Runtime's


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (onnxruntime, collection):
        monkeypatch.setattr(place, "InferenceSession", gossamer.InferenceSession)


def test_what_is_left_does_not_come_back(patched: None) -> None:
    session = onnxruntime.InferenceSession(LAYER)
    np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ WEIGHT + 1, rtol=1e-4)
    left = session._compiled.in_onnxruntime()
    assert type(left) is session_class() and type(left) is not gossamer.InferenceSession


def test_nor_do_the_parts_that_generated_code_leaves(patched: None, native: None) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Det", ["x"], ["unused"]),
        helper.make_node("Hardmax", ["h"], ["y"]),
    ]
    session = onnxruntime.InferenceSession(layer(nodes=nodes[::2]).SerializeToString())
    expected = session_class()(layer(nodes=nodes[::2]).SerializeToString()).run(None, {"x": X})
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], expected[0])


def test_nobody_else_opens_what_was_patched() -> None:
    """Whoever opens a session of ONNX Runtime asks for the class where it is kept."""
    root = Path(gossamer.__file__).parent
    for path in root.rglob("*.py"):
        assert "ort.InferenceSession(" not in (text := path.read_text(encoding="utf-8")), path
        assert "onnxruntime.InferenceSession(" not in text, path


# Without ONNX Runtime


def test_it_runs_without_onnx_runtime(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(LAYER)
    program = f"""
import sys
sys.modules["onnxruntime"] = None
import numpy as np, warnings
import gossamer
warnings.simplefilter("error")
session = gossamer.InferenceSession({str(tmp_path / "model.onnx")!r})
x = np.ones((2, 16), np.float32)
(y,) = session.run(None, {{"x": x}})
assert session.engine == "gossamer" and session.get_providers() == ["CPUExecutionProvider"]
assert session.get_modelmeta().producer_name == "test" and session.get_session_options() is None
binding = session.io_binding()
binding.bind_cpu_input("x", x)
binding.bind_output("y")
session.run_with_iobinding(binding)
value = binding.get_outputs()[0]
assert value.device_name() == "cpu" and (value.numpy() == y).all()
try:
    session.run(None, {{}})
except gossamer.errors.DataError as error:
    print(error)
warnings.simplefilter("ignore")
gossamer.InferenceSession({str(tmp_path / "model.onnx")!r}, providers=["CUDAExecutionProvider"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "input 'x' is missing" in done.stdout


def test_own_values_answer_as_onnx_runtimes() -> None:
    theirs_, ours = (kind.ortvalue_from_numpy(X) for kind in (onnxruntime.OrtValue, OwnValue))
    for ask in (
        "shape",
        "data_type",
        "element_type",
        "device_name",
        "tensor_size_in_bytes",
        "has_value",
        "is_tensor",
        "is_sparse_tensor",
        "is_tensor_sequence",
        "data_ptr",
    ):
        assert getattr(ours, ask)() == getattr(theirs_, ask)(), ask
    np.testing.assert_array_equal(ours.numpy(), X)
    made = OwnValue.ortvalue_from_shape_and_type([2, 16], TensorProto.FLOAT)
    made.update_inplace(ours)
    np.testing.assert_array_equal(np.asarray(made), X)
    with pytest.raises(DataError, match="not on 'cuda'"):
        OwnValue.ortvalue_from_numpy(X, "cuda")
