"""Constants are computed ahead as ONNX Runtime would compute them, or not at all."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from gossamer.graphs.operator import Operator
from gossamer.graphs.ops import OPERATORS
from gossamer.runtime import folding
from gossamer.runtime.graph import Graph
from gossamer.runtime.onnx_import import import_model

f32 = np.float32


def drawn(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


def of_constants(
    op: str, attributes: Any, constants: Any, opset: int, outputs: int = 1
) -> onnx.ModelProto:
    names = ["" if value is None else f"c{at}" for at, value in enumerate(constants)]
    made = [f"y{at}" for at in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, made, **attributes)],
        "constant",
        [],
        [onnx.ValueInfoProto(name=name) for name in made],
        [
            numpy_helper.from_array(np.asarray(value), f"c{at}")
            for at, value in enumerate(constants)
            if value is not None
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


IMAGE = drawn(1, 4, 7, 5)
SCALES = np.array([1, 1, 1.4, 0.7], f32)
WEIGHTS = drawn(1, 12, 5), drawn(1, 12, 3)


@pytest.mark.parametrize(
    ("op", "attributes", "constants", "opsets"),
    [
        ("Softmax", {}, [IMAGE], (7, 11, 13)),
        ("LayerNormalization", {"axis": 2}, [IMAGE, drawn(7, 5)], (17,)),
        ("InstanceNormalization", {}, [IMAGE, drawn(4), drawn(4)], (7, 22)),
        ("BatchNormalization", {}, [IMAGE, *[np.abs(drawn(4))] * 4], (9, 14, 15)),
        ("LpNormalization", {"p": 1}, [IMAGE], (7, 22)),
        ("LRN", {"size": 3}, [IMAGE], (7, 13)),
        ("Resize", {"mode": "linear"}, [IMAGE, None, SCALES], (13, 18, 19)),
        ("Upsample", {"mode": "linear"}, [IMAGE, np.array([1, 1, 2, 3], f32)], (9,)),
        ("MaxPool", {"kernel_shape": [3, 2], "ceil_mode": 1, "strides": [2, 2]}, [IMAGE], (10, 12)),
        ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]}, [IMAGE], (7, 11, 19)),
        ("GRU", {"hidden_size": 4}, [drawn(6, 2, 5), WEIGHTS[0], drawn(1, 12, 4)], (7, 14)),
        ("RNN", {"hidden_size": 3}, [drawn(6, 2, 5), drawn(1, 3, 5), drawn(1, 3, 3)], (7, 14)),
        ("LSTM", {"hidden_size": 3}, [drawn(6, 2, 5), drawn(1, 12, 5), drawn(1, 12, 3)], (7, 14)),
        ("ConvTranspose", {"strides": [2, 2]}, [IMAGE, drawn(4, 2, 3, 3)], (7, 11)),
        ("Clip", {"min": -0.5, "max": 0.5}, [IMAGE], (7,)),
        ("Clip", {}, [IMAGE, f32(0.5), f32(-0.5)], (12, 13)),
        ("Mod", {"fmod": 1}, [IMAGE, f32(0.3)], (10, 13)),
        ("Erf", {}, [IMAGE], (9, 13)),
        ("Gelu", {}, [IMAGE], (20,)),
        ("TopK", {}, [IMAGE, np.array([2])], (10, 11)),
        ("QuantizeLinear", {}, [IMAGE, f32(0.1), np.uint8(3)], (10, 13)),
        ("Pad", {"mode": "reflect"}, [IMAGE, np.array([0, 0, 1, 2, 0, 0, 2, 1])], (11, 18)),
        ("Div", {}, [np.array([7, -7, 5]), np.array([2, 2, -3])], (7, 13)),
    ],
)
def test_what_is_computed_ahead_is_what_onnx_runtime_gives(
    reference: Any, op: str, attributes: Any, constants: Any, opsets: Any
) -> None:
    for opset in opsets:
        outputs = 2 if op == "TopK" else 1
        model = of_constants(op, attributes, constants, opset, outputs)
        for output, theirs in zip(import_model(model).outputs, reference(model, {}), strict=True):
            assert output.data is not None, opset
            assert (output.dtype, output.shape) == (theirs.dtype, theirs.shape)
            # Not the same bits for all: its own optimizer computes some another way.
            np.testing.assert_allclose(output.data, theirs, rtol=2e-7, atol=2e-7)


@pytest.mark.slow
def test_every_case_of_onnx_with_constants_for_inputs() -> None:
    """What is computed ahead is never refused a session's answer."""
    import onnxruntime
    from onnx.backend.test.case.node import collect_testcases

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    compared, differing = 0, []
    for case in collect_testcases(None):
        given = case.data_sets[0][0]
        if not all(isinstance(value, np.ndarray | np.generic) for value in given):
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        model.ir_version = max(model.ir_version, 4)
        for port, value in zip(case.model.graph.input, given, strict=False):
            tensor = numpy_helper.from_array(np.asarray(value), port.name)
            model.graph.initializer.append(tensor)
        del model.graph.input[:]
        try:
            serialized = model.SerializeToString()
            theirs = onnxruntime.InferenceSession(serialized, options).run(None, {})
            outputs = import_model(model).outputs
        except Exception:
            continue
        for ours, expected in zip(outputs, theirs, strict=True):
            if ours.data is None:
                continue
            compared += 1
            same = (ours.data.dtype, ours.data.shape) == (expected.dtype, expected.shape)
            # Its optimizer computes parts of what is of 16 bits in 32.
            near = 5e-3 if expected.dtype == np.float16 else 1e-6
            if not same or not np.allclose(ours.data, expected, near, near, equal_nan=True):
                differing.append(case.name)
    assert not differing
    assert compared > 500


def test_views_of_a_constant_take_no_memory(model: Any) -> None:
    graph = import_model(
        model(
            """(float[N, 8] x) => (float[N, 4] y, float[8, 4] a, float[8, 4] b) {
                a = Identity(w)  f = Reshape(w, all)  g = Reshape(f, back)  b = Identity(g)
                y = MatMul(x, g) }""",
            w=drawn(8, 4),
            all=np.array([-1]),
            back=np.array([8, 4]),
        )
    )
    (product,) = graph.nodes
    taken = [product.source(1), *graph.outputs[1:]]
    assert all(value.data is not None for value in taken)
    assert len({value.data.ctypes.data for value in taken}) == 1  # type: ignore[union-attr]


def test_what_comes_out_otherwise_than_inferred_is_not_relied_on(
    model: Any, agrees: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule was wrong, so that what follows must not be built on it either."""
    wrong = Operator(lambda node, inferred: [(np.dtype(f32), (2, 2))])
    monkeypatch.setitem(OPERATORS, "Erf", wrong)
    small = model("(float[N, 4] x) => (float[N, 4] y) { e = Erf(c)  y = Add(x, e) }", c=drawn(4))
    erf, _ = import_model(small).nodes
    assert not erf.output.known
    agrees(small, {"x": drawn(3, 4)}, native=False)


def test_without_onnx_runtime_what_is_not_computed_runs(
    model: Any, agrees: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    small = model(
        """(float[N, 4] x) => (float[N, 6] y) {
            t = Transpose(w)  m = MatMul(x, t)  e = Erf(b)  y = Add(m, e) }""",
        w=drawn(6, 4),
        b=drawn(6),
    )
    assert [node.op for node in import_model(small).nodes] == ["MatMul", "Erf", "Add"]
    agrees(small, {"x": drawn(3, 4)})


DANGEROUS = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import sys
import numpy as np
from gossamer.runtime.graph import Node, Value, constant
from gossamer.runtime.onnx_import import infer
from gossamer.graphs.inferred import Inferred
op, kind = sys.argv[1:]
x = constant("x", np.array([1, 2, -(2**31)], kind))
for other in (None, constant("z", np.array([0], kind)), constant("z", np.array([-1], kind))):
    node = Node(op, [x, other], [Value("y")])
    infer(node, Inferred(17, []), {})
    if other is not None and kind == "int32":
        assert node.output.data is None
"""


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("Max", "float32"),
        ("Sum", "float32"),
        ("Mean", "float32"),
        ("Div", "int32"),
        ("Mod", "int32"),
    ],
)
def test_what_ends_onnx_runtime_is_not_given_to_it(op: str, kind: str) -> None:
    subprocess.run([sys.executable, "-c", DANGEROUS, op, kind], check=True)


def test_nodes_of_one_kind_share_a_session(model: Any) -> None:
    folding._session.cache_clear()
    names = [f"c{at}" for at in range(5)]
    calls = "  ".join(f"e{at} = Erf({name})" for at, name in enumerate(names))
    graph = import_model(
        model(
            f"(float[N] x) => (float[N] y) {{ {calls}  y = Sum(x, e0, e1, e2, e3, e4) }}",
            **{name: drawn(1) for name in names},
        )
    )
    assert isinstance(graph, Graph)
    assert folding._session.cache_info().misses == 1
