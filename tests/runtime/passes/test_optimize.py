"""Whatever a pass may change is still what it was for everyone else who takes it.

Each value within each pattern in turn is an output of the model, is taken by another node, and is
captured by the inner graph of an If: the fusions see what they look for, and must leave the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

random = np.random.default_rng(0)


def channels(count: int, suffix: str) -> dict[str, Any]:
    """Constants of a batch normalisation."""
    made = {f"{name}{suffix}": random.standard_normal(count) for name in ("s", "b", "m")}
    return {**made, f"v{suffix}": random.random(count) + 0.5}


PATTERNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gelu": (
        "2, 3, 8",
        """a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  e = Mul(d, half)
           f = MatMul(e, w)  y = Add(f, bias)""",
        {
            "root": np.array(np.sqrt(2)),
            "one": np.array(1.0),
            "half": np.array(0.5),
            "w": random.standard_normal((8, 8)),
            "bias": random.standard_normal(8),
        },
    ),
    "swish": (
        "2, 3, 8",
        """a = MatMul(x, w)  b = Sigmoid(a)  c = Mul(a, b)  d = Identity(c)  e = Dropout(d)
           f = HardSigmoid<alpha=0.16666667>(e)  g = Mul(f, e)  y = Add(g, x)""",
        {"w": random.standard_normal((8, 8))},
    ),
    "layer norm": (
        "2, 3, 8",
        """a = ReduceMean<axes=[-1]>(x)  b = Sub(x, a)  c = Mul(b, b)  d = ReduceMean<axes=[-1]>(c)
           e = Add(d, epsilon)  f = Sqrt(e)  g = Div(b, f)  h = Mul(g, scale)  i = Add(h, bias)
           j = MatMul(i, w)  k = Add(j, x)  y = Relu(k)""",
        {
            "epsilon": np.array(0.1),
            "scale": random.standard_normal(8),
            "bias": random.standard_normal(8),
            "w": random.standard_normal((8, 8)),
        },
    ),
    "attention": (
        "2, 5, 12",
        """a = MatMul(x, w)  b = Reshape(a, split)  c = Transpose<perm=[0, 2, 1, 3]>(b)
           d = Transpose<perm=[0, 2, 3, 1]>(b)  e = MatMul(c, d)  f = Mul(e, half)  g = Add(f, mask)
           h = Softmax<axis=-1>(g)  i = MatMul(h, c)  j = Transpose<perm=[0, 2, 1, 3]>(i)
           y = Reshape(j, join)""",
        {
            "w": random.standard_normal((12, 12)) / 4,
            "split": np.array([0, 0, 3, 4]),
            "join": np.array([0, 0, 12]),
            "half": np.array(0.5),
            "mask": random.standard_normal((1, 3, 5, 5)),
        },
    ),
    "convolutions": (
        "2, 4, 8, 8",
        """a = Pad(x, border)  b = Conv(a, w1)  c = BatchNormalization(b, s1, b1, m1, v1)
           d = BatchNormalization(c, s2, b2, m2, v2)  e = Relu(d)
           f = Conv<pads=[1, 1, 1, 1]>(e, w2)  g = Add(f, c)  h = Clip(g, low, high)
           i = MaxPool<kernel_shape=[2, 2], pads=[1, 1, 1, 1]>(h)
           j = ReduceMean<axes=[2, 3], keepdims=0>(i)  y = MatMul(j, w3)""",
        {
            "border": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            "w1": random.standard_normal((6, 4, 3, 3)),
            "w2": random.standard_normal((6, 6, 3, 3)),
            "w3": random.standard_normal((6, 5)),
            "low": np.array(-1.0),
            "high": np.array(1.0),
            **channels(6, "1"),
            **channels(6, "2"),
        },
    ),
    "movement": (
        "3, 4, 6",
        """a = Transpose<perm=[0, 2, 1]>(x)  b = Slice(a, first, last, first)
           c = Concat<axis=1>(b, b)  d = Exp(c)  e = Exp(c)  f = Sub(d, e)  g = Add(f, d)
           h = ReduceMax<axes=[1]>(g)  y = Expand(h, shape)""",
        {"first": np.array([1]), "last": np.array([3]), "shape": np.array([3, 2, 4])},
    ),
}


def values() -> Iterator[tuple[str, str]]:
    for name, (_, nodes, _) in PATTERNS.items():
        for node in nodes.replace("\n", " ").split(")"):
            if "=" in node:
                yield name, node.split("=")[0].strip()


def build(model: Any, name: str) -> Any:
    shape, nodes, constants = PATTERNS[name]
    return model(f"(float[{shape}] x) => (float y) {{ {nodes} }}", **constants)


def finished(small: onnx.ModelProto) -> onnx.ModelProto:
    """With the shapes of its outputs, which ONNX's checker wants."""
    inferred = onnx.shape_inference.infer_shapes(small).graph
    known = {v.name: v for v in (*inferred.output, *inferred.value_info, *inferred.input)}
    names = [value.name for value in small.graph.output]
    del small.graph.output[:]
    small.graph.output.extend(known[name] for name in names)
    return small


def feeds(name: str) -> dict[str, Any]:
    shape = [int(size) for size in PATTERNS[name][0].split(",")]
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize(("name", "value"), list(values()))
def test_what_a_pattern_is_made_of_may_be_taken_by_others(
    model: Any, agrees: Any, name: str, value: str
) -> None:
    """By the caller and by a node; or by an inner graph, under the name that it has there."""
    taken = build(model, name)
    taken.graph.node.append(helper.make_node("Neg", [value], ["other"]))
    if value != "y":
        taken.graph.output.append(helper.make_tensor_value_info(value, 1, None))
    taken.graph.output.append(helper.make_tensor_value_info("other", 1, None))
    agrees(finished(taken), feeds(name), tolerance=1e-4)

    captured = build(model, name)
    branches = [
        helper.make_graph(
            [helper.make_node(op, [value], ["inner"])],
            op,
            [],
            [helper.make_tensor_value_info("inner", 1, None)],
        )
        for op in ("Neg", "Abs")
    ]
    captured.graph.input.append(helper.make_tensor_value_info("test", 9, []))
    node = helper.make_node("If", ["test"], ["z"], then_branch=branches[0], else_branch=branches[1])
    captured.graph.node.append(node)
    captured.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    for test in (True, False):
        given = {**feeds(name), "test": np.array(test)}
        agrees(finished(captured), given, native=False, tolerance=1e-4)
