"""Open sizes that weights leave no choice are known, and the model stays right at all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.errors import DataError
from gossamer.graphs.dims import Dim
from gossamer.runtime import compile
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.trial import sizes_for

f32 = np.float32
N, F = Dim.symbol("N"), Dim.symbol("F")
CONSTANTS = {
    "w": np.random.default_rng(0).standard_normal((20, 6)),
    "t": np.random.default_rng(1).standard_normal((6, 20)),
    "k": np.random.default_rng(2).standard_normal((3, 20, 1)),
    "b": np.arange(20.0),
    "row": np.ones((2, 20)),
    "s": np.array([-1, 4, 5]),
    "all": np.array([2, 4, 5]),
    "parts": np.array([8, 12]),
    "axes": np.array([2]),
}


@pytest.mark.parametrize(
    ("shape", "nodes", "known"),
    [
        ("N, F", "y = MatMul(x, w)", (N, 20)),
        ("N, F", "y = Gemm<transB=1>(x, t)", (N, 20)),
        ("F, N", "y = Gemm<transA=1>(x, w)", (20, N)),
        ("N, 2, F", "z = Flatten(x) y = MatMul(z, w)", (N, 2, 10)),
        ("N, F, 4", "y = Conv(x, k)", (N, 20, 4)),
        ("N, F", "y = Add(x, b)", (N, 20)),
        ("N, F", "z = Relu(x) y = Where(c, z, b)", (N, 20)),
        ("N, F", "z = Add(x, b) y = Concat<axis=0>(x, row)", (N, 20)),
        ("N, F", "y = Concat<axis=0>(x, row)", (N, 20)),
        ("2, F", "y = Reshape(x, all)", (2, 20)),
        ("N, F", "y, z = Split<axis=1>(x, parts)", (N, 20)),
        ("N, F", "z = Add(x, b) v = Unsqueeze(z, axes) y = Squeeze(v, axes)", (N, 20)),
        ("N, F", "y = Relu(x)", (N, F)),
        ("N, F", "y = Reshape(x, s)", (N, F)),
        ("N, F", "z = Add(x, b) y = MatMul(x, t)", (N, F)),
    ],
)
def test_sizes_that_a_model_determines(
    model: Any, shape: str, nodes: str, known: tuple[Any, ...]
) -> None:
    small = model(
        f"(float[{shape}] x, bool[1, 1] c) => (float[a, b] y) {{ {nodes} }}", 13, **CONSTANTS
    )
    graph = import_model(small)
    assert graph.inputs[0].shape == known
    numbers = sizes_for(graph)
    assert set(numbers) == {str(size) for size in known if isinstance(size, Dim)}


@pytest.mark.parametrize("engine", ["auto", "gossamer"])
def test_a_size_that_weights_exclude_is_named(
    model: Any, reference: Any, close: Any, engine: Any
) -> None:
    small = model("(float[N, F] x) => (float[N, M] y) { y = MatMul(x, w) }", **CONSTANTS)
    session = compile(small, threads=1, engine=engine)
    x = np.random.default_rng(0).standard_normal((3, 20)).astype(f32)
    close(session.run(None, {"x": x})[0], reference(small, {"x": x})[0], 1e-5)
    for size, bound in ((5, "least"), (40, "most")):
        with pytest.raises(DataError, match=f"F is {size}; the compiled model takes at {bound} 20"):
            session.run(None, {"x": np.ones((3, size), f32)})
    assert [port.shape for port in session.get_inputs()] == [["N", "F"]]


def test_a_size_that_broadcasts_stays_right(model: Any, reference: Any, close: Any) -> None:
    small = model(
        """(float[N, F] x) => (float[N, 20] y, float[N, F] z) {
            z = Relu(x) v = Add(z, b) q = MatMul(v, w) y = MatMul(q, t) }""",
        **CONSTANTS,
    )
    free, strict = (compile(small, threads=1, engine=engine) for engine in ("auto", "gossamer"))
    assert free.engine == "gossamer"
    for size in (1, 20):
        feeds = {"x": np.random.default_rng(0).standard_normal((3, size)).astype(f32)}
        for ours, theirs in zip(free.run(None, feeds), reference(small, feeds), strict=True):
            close(ours, theirs, 1e-5)
    assert not [line for line in strict.explain() if line.kernel == "ONNX Runtime"]
    with pytest.raises(DataError, match="F is 1; the compiled model takes at least 20"):
        strict.run(None, {"x": np.ones((3, 1), f32)})


def test_names_that_do_not_agree_stay_the_callers(model: Any, reference: Any, close: Any) -> None:
    """ONNX Runtime does not hold an input to the names of its sizes."""
    small = model(
        """(float[N, F] x, float[N, F] v) => (float[N, M] y, float[A, B] z) {
            y = MatMul(x, w) z = Relu(v) }""",
        **CONSTANTS,
    )
    feeds = {"x": np.ones((3, 20), f32), "v": np.ones((3, 7), f32)}
    with pytest.warns(UserWarning, match="F is 20 elsewhere"):
        found = compile(small, threads=1).run(None, feeds)
    for ours, theirs in zip(found, reference(small, feeds), strict=True):
        close(ours, theirs, 1e-5)
