"""Resize in every mode, as ONNX Runtime does it, to the last pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.runtime import compile

f32 = np.float32


def resized(model: Any, agrees: Any, attributes: str, scales: list[float], size: Any) -> None:
    small = model(
        f"""(float[N, 2, {size[0]}, {size[1]}] x) => (float[N, 2, A, B] y) {{
            y = Resize<{attributes}>(x, , scales) }}""",
        19,
        scales=np.array([1.0, 1.0, *scales]),
    )
    x = np.random.default_rng(0).standard_normal((3, 2, *size)).astype(f32)
    agrees(small, {"x": x}, tolerance=1e-5)


MODES = [
    *("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
    *("half_pixel_symmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"),
]


@pytest.mark.parametrize("coordinates", MODES[:4])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [[2.0, 3.0], [0.5, 0.6]])
def test_modes(model: Any, agrees: Any, coordinates: str, mode: str, scales: list[float]) -> None:
    attributes = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"'
    resized(model, agrees, attributes, scales, (5, 6))


ROUNDING = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@pytest.mark.parametrize("rule", ROUNDING)
def test_ways_to_round(model: Any, agrees: Any, rule: str) -> None:
    attributes = (
        f'mode="nearest", nearest_mode="{rule}", coordinate_transformation_mode="asymmetric"'
    )
    resized(model, agrees, attributes, [2.0, 1.5], (4, 4))


def test_antialiasing(model: Any, agrees: Any) -> None:
    for mode in ("linear", "cubic"):
        resized(model, agrees, f'mode="{mode}", antialias=1', [0.5, 0.4], (10, 12))


def test_to_a_size(model: Any, agrees: Any) -> None:
    small = model(
        """(float[N, 2, 4, 4] x) => (float[N, 2, A, B] y) {
            y = Resize<mode="linear", axes=[2, 3]>(x, , , sizes) }""",
        19,
        sizes=np.array([7, 3]),
    )
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(f32)
    agrees(small, {"x": x})


def test_upsample(model: Any, agrees: Any) -> None:
    small = model(
        '(float[N, 2, 4, 4] x) => (float[N, 2, A, B] y) { y = Upsample<mode="nearest">(x, s) }',
        9,
        s=np.array([1.0, 1.0, 2.0, 3.0]),
    )
    agrees(small, {"x": np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype(f32)})


# In 32 bits 10 * 0.7 is 7 and 30 * 0.3 more than 9; 9 / 1.2 is 7.4999995, which counts as a tie.
SCALES = [0.3, 0.55, 0.7, 0.9, 1.05, 1.1, 1.2, 1.4, 2.1, 2.3]


def many_resized(
    reference: Any, close: Any, nodes: list[tuple[int, dict[str, Any], dict[str, Any]]], opset: int
) -> None:
    """Compare many nodes in one model: the length, attributes, and inputs `scales`, `sizes`, ..."""
    inputs, outputs, made, constants, feeds = [], [], [], [], {}
    random = np.random.default_rng(0)
    for number, (length, attributes, given) in enumerate(nodes):
        shape = [1, 1, length, 2]
        if f"x{length}" not in feeds:
            inputs.append(helper.make_tensor_value_info(f"x{length}", TensorProto.FLOAT, shape))
            feeds[f"x{length}"] = random.standard_normal(shape).astype(f32)
        # Operator set 11 had no inputs that are left out.
        if opset == 11:
            given = {"roi": np.zeros(0, f32)} | given
        names = []
        for name in ("roi", "scales", "sizes") if opset > 10 else ("scales",):
            names.append(f"{name}{number}" if name in given else "")
            if name in given:
                constants.append(numpy_helper.from_array(given[name], names[-1]))
        op = "Resize" if opset > 9 else "Upsample"
        made.append(helper.make_node(op, [f"x{length}", *names], [f"y{number}"], **attributes))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, [None] * 4))
    graph = helper.make_graph(made, "resized", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset)]
    small = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = compile(small, threads=1, engine="gossamer")
    assert not [line for line in session.explain() if line.kernel == "ONNX Runtime"]
    for ours, theirs in zip(session.run(None, feeds), reference(small, feeds), strict=True):
        close(ours, theirs, 1e-5)


def along_height(*values: float) -> Any:
    return np.array([1, 1, *values, 1], f32)


@pytest.mark.parametrize("coordinates", MODES)
def test_sizes_and_places_are_those_of_32_bits(
    reference: Any, close: Any, coordinates: str
) -> None:
    attributes = {"coordinate_transformation_mode": coordinates}
    given = {}
    if coordinates == "tf_crop_and_resize":
        attributes["extrapolation_value"] = -3.0
        given["roi"] = np.array([0, 0, -0.2, 0, 1, 1, 0.8, 1], f32)
    ways = [{"nearest_mode": rule} for rule in ROUNDING]
    ways += [{"mode": "linear"}, {"mode": "cubic", "exclude_outside": 1}]
    nodes = []
    for number, scale in enumerate(SCALES):
        for length in (4, 10, 27, 30):
            way = ways[(number + length) % len(ways)]
            nodes.append((length, attributes | way, given | {"scales": along_height(scale)}))
    many_resized(reference, close, nodes, 19)


@pytest.mark.parametrize("opset", [9, 10, 11, 13])
def test_older_operator_sets(reference: Any, close: Any, opset: int) -> None:
    scales = SCALES if opset > 9 else [scale for scale in SCALES if scale >= 1]
    nodes = [
        (length, {"mode": mode}, {"scales": along_height(scale)})
        for mode in ("nearest", "linear")
        for length in (7, 30)
        for scale in scales
    ]
    many_resized(reference, close, nodes, opset)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_ratio(reference: Any, close: Any, policy: str) -> None:
    attributes = {"keep_aspect_ratio_policy": policy, "axes": [2, 3]}
    nodes = [
        (length, attributes | {"mode": mode}, {"sizes": np.array([size, 3])})
        for mode in ("nearest", "linear")
        for length in (5, 27)
        for size in (14, 23, 40)
    ]
    many_resized(reference, close, nodes, 19)


@pytest.mark.parametrize("outside", [0, 1])
def test_antialiasing_with_and_without_what_lies_outside(
    reference: Any, close: Any, outside: int
) -> None:
    nodes = [
        (length, {"mode": mode, "antialias": 1, "exclude_outside": outside}, given)
        for mode in ("linear", "cubic")
        for length in (4, 27)
        for given in ({"scales": along_height(scale)} for scale in SCALES)
    ]
    many_resized(reference, close, nodes, 19)


def test_an_axis_that_keeps_its_size_is_not_cropped(reference: Any, close: Any) -> None:
    attributes = {"coordinate_transformation_mode": "tf_crop_and_resize"}
    region = np.array([0.4, 0, 0.3, 0.2, 0.6, 1, 0.9, 0.5], f32)
    given = {"roi": region, "scales": along_height(1.5)}
    many_resized(reference, close, [(9, attributes, given)], 19)


def test_integers_are_looked_up_but_not_interpolated(model: Any, agrees: Any) -> None:
    x = np.arange(10, dtype=np.int32).reshape(1, 1, 10, 1)
    for mode, native in (("nearest", True), ("linear", False)):
        small = model(
            f"""(int32[N, 1, 10, 1] x) => (int32[N, 1, A, 1] y) {{
                y = Resize<mode="{mode}">(x, , scales) }}""",
            19,
            scales=along_height(1.4),
        )
        agrees(small, {"x": x}, native=native, engine="gossamer" if native else "auto")


@pytest.mark.parametrize("coordinates", MODES[:5])
@pytest.mark.parametrize("filtering", ["", ", antialias=1"])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_infinities_and_nan_reach_what_they_have_a_weight_for(
    model: Any, reference: Any, coordinates: str, filtering: str, mode: str
) -> None:
    """ONNX Runtime multiplies them by zeros too: it may give NaN where we give none."""
    attributes = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"{filtering}'
    for scale in (0.5, 0.7, 1.5, 2.0):
        small = model(
            f"""(float[2, 1, 6, 5] x) => (float[2, 1, A, B] y) {{
                y = Resize<{attributes}>(x, , scales) }}""",
            19,
            scales=np.array([1, 1, scale, scale]),
        )
        x = np.random.default_rng(0).standard_normal((2, 1, 6, 5)).astype(f32)
        # In a corner, at an edge and within.
        x[0, 0, 0, 0], x[0, 0, 1, 4], x[0, 0, 1, 2], x[1, 0, 5, 4] = np.inf, -np.inf, np.inf, np.nan
        (ours,) = compile(small, engine="gossamer").run(None, {"x": x})
        (theirs,) = reference(small, {"x": x})
        told = ~np.isnan(theirs)
        np.testing.assert_allclose(ours[told], theirs[told], rtol=1e-4, atol=1e-5)


def test_a_place_on_an_element_takes_nothing_of_its_neighbours(model: Any) -> None:
    small = model(
        """(float[1, 1, 3] x) => (float[1, 1, A] y) {
            y = Resize<mode="cubic", coordinate_transformation_mode="align_corners">(x, , scales)
        }""",
        13,
        scales=np.array([1, 1, 2.0]),
    )
    x = np.array([1, np.inf, 2], f32).reshape(1, 1, 3)
    (y,) = compile(small, engine="gossamer").run(None, {"x": x})
    assert (y[0, 0, 0], y[0, 0, -1]) == (1, 2)
    assert np.isinf(y[0, 0, 1:-1]).all()
