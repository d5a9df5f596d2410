"""Chains of operators that move elements, on open axes, at several sizes: the smallest among them.

Generated code alone is compared with ONNX Runtime. A size that it does not take must be named.
Fewer examples than these let a fault through that was planted in the rule of slices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.errors import DataError, GossamerError
from gossamer.runtime import compile

f32 = np.float32
SIZES = ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (4, 4), (5, 6), (9, 8))
LAST = 2**63 - 1

axes = st.sampled_from((0, 1))
near = st.integers(-6, 6)


@st.composite
def slicing(draw: Any) -> str:
    start = draw(near | st.sampled_from((LAST, -LAST)))
    end = draw(near | st.sampled_from((LAST, -LAST)))
    step = draw(st.sampled_from((1, 1, 2, 3, -1, -2)))
    axis = draw(axes | st.just(-1))
    return f"Slice({{x}}, [{start}], [{end}], [{axis}], [{step}])"


@st.composite
def padding(draw: Any) -> str:
    mode = draw(st.sampled_from(("constant", "edge", "reflect")))
    counts = draw(st.lists(st.integers(-2 if mode == "constant" else 0, 2), min_size=4, max_size=4))
    return f'Pad<mode="{mode}">({{x}}, {counts})'


@st.composite
def splitting(draw: Any) -> str:
    axis = draw(axes)
    parts = draw(st.sampled_from(("", ", [1, 1]", ", [2, 1]", ", [2, 0]")))
    named = "num_outputs=2, " if not parts else ""
    halves = f"{{y}}a, {{y}}b = Split<{named}axis={axis}>({{x}}{parts})"
    return f"{halves}  {{y}} = Concat<axis={axis}>({{y}}b, {{y}}a)"


@st.composite
def resizing(draw: Any) -> str:
    mode = draw(st.sampled_from(("nearest", "linear")))
    scales = draw(st.lists(st.sampled_from((0.5, 1.0, 1.5, 2.0)), min_size=2, max_size=2))
    kind = draw(st.sampled_from(("asymmetric", "half_pixel", "align_corners")))
    return f'Resize<mode="{mode}", coordinate_transformation_mode="{kind}">({{x}}, , {scales})'


reshapes = st.sampled_from(([0, -1], [-1, 2], [2, -1], [-1, 1], [1, -1], [-1, 0], [3, 0]))
movements = st.one_of(
    slicing(),
    padding(),
    splitting(),
    resizing(),
    reshapes.map(lambda sizes: f"Reshape({{x}}, {sizes})"),
    st.just("Transpose({x})"),
    axes.map(lambda axis: f"Concat<axis={axis}>({{x}}, {{x}})"),
    st.sampled_from(([1, 2], [3, 1])).map(lambda counts: f"Tile({{x}}, {counts})"),
    st.sampled_from(([1, 1], [2, 1], [1, 3])).map(lambda sizes: f"Expand({{x}}, {sizes})"),
    axes.map(lambda axis: f"ReduceMax<keepdims=1>({{x}}, [{axis}])"),
)


def written(model: Any, chain: list[str]) -> onnx.ModelProto:
    """A model of movements one after another, the lists in them as constants."""
    nodes, constants, taken = [], {}, "x"
    for place, movement in enumerate(chain):
        text = movement if " = " in movement else f"{{y}} = {movement}"
        text = text.replace("{x}", taken).replace("{y}", f"y{place}")
        head, found, rest = text.partition("(")
        while (begin := rest.find("[")) >= 0:
            end = rest.index("]")
            name = f"c{len(constants)}"
            constants[name] = np.array(
                [float(n) if "." in n else int(n) for n in rest[begin + 1 : end].split(",")]
            )
            rest = rest[:begin] + name + rest[end + 1 :]
        nodes.append(head + found + rest)
        taken = f"y{place}"
    body = "  ".join(nodes)
    made = model(f"(float[N, M] x) => (float[P, Q] {taken}) {{ {body} }}", 18, **constants)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@settings(max_examples=120, deadline=None)
@given(st.lists(movements, min_size=1, max_size=3))
def test_chains_of_movements_agree_at_every_size(
    model: Any, reference: Any, close: Any, chain: list[str]
) -> None:
    small = written(model, chain)
    try:
        session = compile(small, threads=1, engine="gossamer")
    except GossamerError:
        session = None
    for rows, columns in SIZES:
        feeds = {"x": 1 + np.arange(rows * columns, dtype=f32).reshape(rows, columns)}
        try:
            (expected,) = reference(small, feeds)
        except Exception:
            continue
        assert session is not None, "refused, though ONNX Runtime runs it"
        try:
            (found,) = session.run(None, feeds)
        except DataError as error:
            assert "the compiled model takes at" in str(error)
            continue
        close(found, expected, 1e-5)
