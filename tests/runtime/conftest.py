"""Small ONNX graphs written as text, and the comparison of a session with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from gossamer.runtime import Session, compile
from gossamer.runtime.compiler import Engine
from gossamer.runtime.graph import Graph
from gossamer.runtime.onnx_import import import_model

Array = NDArray[Any]


@pytest.fixture(scope="module", autouse=True)
def roomy() -> Iterator[None]:
    """As many threads as a test asks for, on a machine with one processor too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossamer.machine.usable_processors", lambda: 64)
        yield


def write_model(text: str, opset: int = 17, **constants: Any) -> onnx.ModelProto:
    """The graph `(inputs) => (outputs) { nodes }` with constants as initializers."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\nsmall {text}')
    for name, value in constants.items():
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def run_reference(model: onnx.ModelProto | Path, feeds: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Its own further fusions take near misses for patterns (a third power for a square).
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    reference = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(reference.run(None, dict(feeds)))


def assert_close(ours: Array, theirs: Array, tolerance: float) -> None:
    """Same type, shape and places of NaN and infinities, and max |a - b| <= tolerance max |b|."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if theirs.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite])
    largest = np.abs(theirs[finite]).max(initial=0)
    assert np.abs(ours[finite] - theirs[finite]).max(initial=0) <= tolerance * max(largest, 1e-30)


def assert_agrees(
    model: onnx.ModelProto,
    feeds: Mapping[str, Array],
    *,
    threads: int = 1,
    target: str = "host",
    tolerance: float = 2e-5,
    native: bool = True,
    engine: Engine = "gossamer",
) -> Session:
    """Compile a model, and compare what it gives with what ONNX Runtime gives.

    The engine does not fall back unless it is told to: what the compiler raises is raised here.
    With `native`, no node may be left to ONNX Runtime.
    """
    compiled = compile(model, threads=threads, target=target, engine=engine)
    if native:
        left = [line for line in compiled.explain() if line.kernel == "ONNX Runtime"]
        assert not left, left
    for ours, theirs in zip(compiled.run(None, feeds), run_reference(model, feeds), strict=True):
        assert_close(ours, theirs, tolerance)
    return compiled


def apply_passes(model: onnx.ModelProto, *passes: Callable[[Graph], None]) -> Graph:
    """Import a model and apply passes to it."""
    graph = import_model(model)
    graph.check()
    for change in passes:
        change(graph)
        graph.drop_unused()
    return graph


# Fixtures rather than imports, because test files are not a package. They keep no state, so that
# property tests may use them.


@pytest.fixture(scope="session")
def model() -> Callable[..., onnx.ModelProto]:
    return write_model


@pytest.fixture(scope="session")
def reference() -> Callable[..., list[Array]]:
    return run_reference


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    return assert_close


@pytest.fixture(scope="session")
def agrees() -> Callable[..., Session]:
    return assert_agrees


@pytest.fixture(scope="session")
def after(checked_passes: Any) -> Callable[..., Graph]:
    """Import a model and apply passes to it, checking the graph after each."""
    return lambda model, *passes: apply_passes(model, *map(checked_passes, passes))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def session(model: Any, random: np.random.Generator) -> Session:
    """Two layers with a lookup between them; it takes `feeds(batch)`."""
    return compile(
        model(
            """(float[N, 8] x, int64[N] ids) => (float[N, 8] y, float[N, 8] z) {
                a = MatMul(x, w)  t = Gather(table, ids)  y = Add(a, t)  b = MatMul(y, w)
                z = Relu(b) }""",
            w=random.standard_normal((8, 8)),
            table=random.standard_normal((5, 8)),
        ),
        threads=2,
        engine="gossamer",
    )


@pytest.fixture(scope="session")
def feeds() -> Callable[[int], dict[str, Array]]:
    """What `session` takes, for a batch of any size."""

    def make(batch: int) -> dict[str, Array]:
        random = np.random.default_rng(batch)
        return {
            "x": random.standard_normal((batch, 8)).astype(np.float32),
            "ids": random.integers(0, 5, batch),
        }

    return make
