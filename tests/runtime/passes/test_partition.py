"""Which nodes have a lowering, and why the others have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.partition import partition, reason_against


def graph_of(after: Any, model: Any, call: str, *passes: Any, **constants: Any) -> Any:
    small = model(
        f"""(float[B, S, 4] x, float[B, 2, 6, 6] image, int64[B, S] ids, float[S] v, double[S] d,
             float[3, 2, 3, 3] given, float[B, 2, 9] line) => (float[N] y) {{ y = {call} }}""",
        **constants,
    )
    return after(small, *passes)


def reason(after: Any, model: Any, call: str, **constants: Any) -> str:
    graph = graph_of(after, model, call, fuse_layers, partition, **constants)
    node = graph.nodes[-1]
    assert node.native == (not node.reason)
    return str(node.reason)


NATIVE = [
    "Relu(x)",
    "Relu(d)",
    "MatMul(x, w)",
    "Reshape(x, flat)",
    "LayerNormalization(x, s, s)",
    "Conv(image, k)",
    "MaxPool<kernel_shape=[2, 2]>(image)",
    "GlobalAveragePool(image)",
    "Transpose(x)",
    "Gather(w, ids)",
    "Cast<to=1>(ids)",
    "Exp(d)",
    "Div(ids, ids)",
    "MatMul(image, image)",
    "Softmax<axis=1>(x)",
    "ReduceSum(ids)",
    "ArgMax(d)",
]
CONSTANTS = {
    "w": np.eye(4),
    "s": np.ones(4),
    "k": np.ones((3, 2, 3, 3)),
    "flat": np.array([-1]),
}


@pytest.mark.parametrize("call", NATIVE)
def test_what_has_a_lowering(after: Any, model: Any, call: str) -> None:
    assert reason(after, model, call, **CONSTANTS) == ""


@pytest.mark.parametrize("call", NATIVE)
def test_what_gives_something_of_unknown_shape_has_none(after: Any, model: Any, call: str) -> None:
    """Though all that it takes is known, as an expansion before it may leave it."""
    node = graph_of(after, model, call, **CONSTANTS).nodes[-1]
    node.output.shape = None
    assert reason_against(node).startswith("the shape of 'y' is known only when the model runs")


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("Hardmax(x)", "no lowering for ai.onnx Hardmax"),
        ("MatMul(v, v)", "no lowering for a product of vectors"),
        ("Softmax(d)", "no lowering for Softmax of float64"),
        (
            "ReduceSum<axes=[7]>(x)",
            "the type and shape of 'y' are known only when the model runs: an axis",
        ),
        ("Cast<to=10>(x)", "no lowering for type float16"),
        ("LayerNormalization<axis=1>(x, w)", "over several axes"),
        ("LayerNormalization(x, v)", "a computed scale"),
        ("LayerNormalization(v, v)", "over several axes"),
        (
            "Reshape(x, ids)",
            "of 'y' are known only when the model runs: a shape is computed from data",
        ),
        ("Conv(image, given)", "computed weights"),
        (
            "Conv(line, given)",
            "of 'y' are known only when the model runs: a convolution whose ranks",
        ),
        ("GlobalAveragePool(d)", "no lowering for GlobalAveragePool of float64"),
        ("Conv(line, three)", "other than images of a fixed size"),
        ("AveragePool<kernel_shape=[2, 2], pads=[1, 1, 1, 1]>(image)", "AveragePool with padding"),
        ("GatherElements(w, ids)", "GatherElements of a part of the other axes"),
    ],
)
def test_why_there_is_none(after: Any, model: Any, call: str, why: str) -> None:
    constants = {"w": np.eye(4), "three": np.ones((3, 2, 3))}
    assert why in reason(after, model, call, **constants)
