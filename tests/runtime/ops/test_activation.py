"""Activations where ONNX Runtime and ONNX's definition part."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from gossamer.errors import ModelError
from gossamer.runtime import compile


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
def test_a_shrink_of_integers_is_onnx_runtimes(model: Any, agrees: Any, kind: str) -> None:
    """It adds 0.3 and cuts off what is behind the point; by ONNX's definition it adds 0."""
    small = model(f"({kind}[3, 4] x) => ({kind}[3, 4] y) {{ y = Shrink<lambd=0.8, bias=0.3>(x) }}")
    agrees(small, {"x": np.arange(-6, 6).reshape(3, 4).astype(kind)}, native=False)


@pytest.mark.parametrize("opset", [9, 13, 18])
def test_a_shrink_of_floats_is_ours(model: Any, agrees: Any, opset: int) -> None:
    small = model(
        "(float[3, 4] x) => (float[3, 4] y) { y = Shrink<lambd=0.8, bias=0.3>(x) }", opset
    )
    agrees(small, {"x": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)})


@pytest.mark.parametrize("engine", ["auto", "gossamer"])
@pytest.mark.parametrize("op", ["HardSigmoid", "LeakyRelu", "Softsign", "ThresholdedRelu"])
def test_what_onnx_has_of_floats_alone_is_refused_of_integers(op: str, engine: Any) -> None:
    """Its definition could be computed, with numbers rounded to integers."""
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", ports[:1], ports[1:])
    imports = [helper.make_opsetid("", 18)]
    broken = helper.make_model(graph, opset_imports=imports, ir_version=8)
    with pytest.raises(ModelError):
        compile(broken, engine=engine)
