"""Rules for Resize and Upsample, for `expand.py`.

Along each axis, every output is a weighted sum of a few inputs at places that are known when the
model is compiled: look-ups with constant indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.dims import UnknownSize
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.movement_shapes import axes_in, factors_of
from gossamer.runtime.passes.expansion import Expansion, Rule
from gossamer.runtime.shapes import fixed, shape_of


def _resize(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    rank = len(shape_of(x))
    axes = axes_in(node, rank)
    factors = factors_of(node) if node.input(3) is None else None
    window = _crop(node, axes, rank)
    for position, axis in enumerate(axes):
        old, new = shape_of(x)[axis], shape_of(node.output)[axis]
        if old == new and (factors is None or factors[position] == 1) and window is None:
            continue
        before, after = fixed([old, new])
        factor = after / before if factors is None else factors[position]
        bounds = window[position] if window is not None else (0.0, 1.0)
        places = _coordinates(node, before, after, factor, bounds)
        x = _interpolated(e, node, x, axis, places, factor)
    return [e("Identity", x)] if x is node.source(0) else [x]


def _crop(node: Node, axes: Sequence[int], rank: int) -> list[tuple[float, float]] | None:
    """The part of each axis that is resized, where the mode crops."""
    if node.attributes.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        return None
    region = node.input(1)
    if region is None or region.data is None:
        raise UnknownSize("a crop is known only when the model runs")
    count = len(axes)
    return [(float(region.data[i]), float(region.data[i + count])) for i in range(count)]


def _coordinates(
    node: Node, before: int, after: int, factor: float, crop: tuple[float, float]
) -> NDArray[np.float64]:
    """Where in the input each output lies."""
    place = np.arange(after, dtype=np.float64)
    default = "half_pixel" if node.op == "Resize" else "asymmetric"
    mode = node.attributes.get("coordinate_transformation_mode", default)
    if node.op == "Resize" and len(node.inputs) == 2:
        # Operator set 10 knew this one only.
        mode = "asymmetric"
    if mode == "half_pixel":
        return (place + 0.5) / factor - 0.5
    if mode == "pytorch_half_pixel":
        return (place + 0.5) / factor - 0.5 if after > 1 else np.zeros(1)
    if mode == "half_pixel_symmetric":
        # What rounding the size off leaves is cut at both ends.
        middle = before / 2 * (1 - after / (factor * before))
        return middle + (place + 0.5) / factor - 0.5
    if mode == "align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else np.zeros(after)
    if mode == "asymmetric":
        return place / factor
    if mode == "tf_crop_and_resize":
        begin, end = crop
        if after == 1:
            return np.full(1, 0.5 * (begin + end) * (before - 1))
        return begin * (before - 1) + place * (end - begin) * (before - 1) / (after - 1)
    raise UnknownSize(f"no lowering for {node.op} with {mode}")


def _interpolated(
    e: Expansion, node: Node, x: Value, axis: int, places: NDArray[np.float64], factor: float
) -> Value:
    size, rank = shape_of(x)[axis], len(shape_of(x))
    assert isinstance(size, int)
    taps, weights = _taps(node, places, factor, size)
    outside = (places < 0) | (places > size - 1)
    extrapolated = node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    total: Value | None = None
    for tap, weight in zip(taps.T, weights.T, strict=True):
        if not weight.any():
            continue
        part = e("Gather", x, e.constant(tap), axis=axis)
        if not (weight == 1).all():
            along = weight.reshape([-1 if a == axis else 1 for a in range(rank)])
            part = e("Mul", part, e.constant(along.astype(x.dtype)))
        total = part if total is None else e("Add", total, part)
    assert total is not None
    if extrapolated and outside.any():
        fill = e.like(x, node.attributes.get("extrapolation_value", 0.0))
        mask = outside.reshape([-1 if a == axis else 1 for a in range(rank)])
        total = e("Where", e.constant(mask), fill, total)
    return total


def _taps(
    node: Node, places: NDArray[np.float64], factor: float, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`[output, tap]` the inputs that each output is made of, and their weights."""
    mode = node.attributes.get("mode", "nearest")
    if mode == "nearest":
        rounded = _rounded(node, places)
        return np.clip(rounded, 0, size - 1)[:, None], np.ones((len(places), 1))
    if mode not in ("linear", "bilinear", "trilinear", "cubic"):
        raise UnknownSize(f"no lowering for {node.op} of mode {mode}")
    cubic = mode == "cubic"
    sharpness = node.attributes.get("cubic_coeff_a", -0.75)
    shape: Callable[[Any], Any] = (lambda x: _cubic(x, sharpness)) if cubic else _triangle
    # Where it shrinks, antialiasing widens the filter by as much.
    stretch = min(factor, 1.0) if node.attributes.get("antialias", 0) else 1.0
    reach = (2 if cubic else 1) / stretch
    first = np.floor(places).astype(np.int64) - math.ceil(reach) + 1
    taps = first[:, None] + np.arange(2 * math.ceil(reach))
    weights = shape((taps - places[:, None]) * stretch)
    # Beyond the edge lies the edge's own element.
    if node.attributes.get("exclude_outside", 0):
        weights = np.where((taps >= 0) & (taps < size), weights, 0)
    return np.clip(taps, 0, size - 1), weights / weights.sum(axis=1, keepdims=True)


def _rounded(node: Node, places: NDArray[np.float64]) -> NDArray[np.int64]:
    default = "round_prefer_floor"
    if node.op == "Upsample" or len(node.inputs) == 2:
        default = "floor"
    mode = node.attributes.get("nearest_mode", default)
    rules: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return np.asarray(rules[mode](places), np.int64)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(0, 1 - np.abs(x)))


def _cubic(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Cubic convolution (Keys 1981, equation 4)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


INTERPOLATIONS: dict[str, Rule] = {"Resize": _resize, "Upsample": _resize}
