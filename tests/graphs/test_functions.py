"""Functions that a model brings along mean what ONNX Runtime takes them for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from gossamer.graphs.functions import inline
from gossamer.runtime import compile
from gossamer.runtime.onnx_file import InvalidOnnx

f32 = np.float32
X = np.random.default_rng(0).standard_normal((1, 4, 3)).astype(f32)


def calling(body: str, function: int, model: int, inputs: str = "x") -> onnx.ModelProto:
    """A model of one operator set whose function names another."""
    return parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : {model}, "local" : 1]>
        small (float[1, 4, 3] x, float[G] s) => (float[A, B, C] y) {{
            u = local.layer({inputs}) y = Neg(u) }}
        <domain: "local", opset_import: ["" : {function}]>
        layer ({inputs}) => (r) {{ {body} }}"""
    )


def theirs(model: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)[0]


@pytest.mark.parametrize(("function", "model"), [(14, 17), (17, 14), (18, 18), (20, 18)])
def test_a_function_of_another_operator_set_is_inlined(function: int, model: int) -> None:
    made = calling("r = HardSwish(x)", function, model)
    flat = inline(made)
    assert [node.op_type for node in flat.graph.node] == ["HardSwish", "Neg"]
    assert not flat.functions
    feeds = {"x": X, "s": np.ones(1, f32)}
    session = compile(calling("r = HardSwish(x)", function, model), engine="gossamer")
    np.testing.assert_allclose(session.run(None, feeds)[0], theirs(made, feeds), rtol=1e-6)
    assert {line.kernel for line in session.explain()} != {"ONNX Runtime"}


@pytest.mark.parametrize("model", [18, 19, 20])
@pytest.mark.parametrize("function", [18, 20])
@pytest.mark.parametrize("engine", ["auto", "gossamer"])
def test_a_withdrawn_group_normalization_in_a_function_runs(
    model: int, function: int, engine: Any
) -> None:
    """Its scale and bias are one number a group; since operator set 21, one a channel."""
    made = calling("r = GroupNormalization<num_groups=2>(x, s, s)", function, model, "x, s")
    content = made.SerializeToString()
    feeds = {"x": X, "s": np.array([1, 2], f32)}
    found = compile(made, engine=engine).run(None, feeds)[0]
    np.testing.assert_allclose(found, theirs(made, feeds), rtol=1e-4, atol=1e-5)
    assert made.SerializeToString() == content


@pytest.mark.parametrize(("function", "model"), [(11, 13), (13, 11)])
def test_an_operator_that_means_something_else_is_onnx_runtimes(function: int, model: int) -> None:
    """ONNX's text is against such a model; ONNX Runtime takes the model's operator set."""
    made = calling("r = Softmax<axis=1>(x)", function, model)
    feeds = {"x": X, "s": np.ones(1, f32)}
    np.testing.assert_array_equal(compile(made).run(None, feeds)[0], theirs(made, feeds))
    with pytest.raises(InvalidOnnx, match=r"Softmax *is not compatible with the version imported"):
        compile(made, engine="gossamer")
