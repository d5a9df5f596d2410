"""Resize, Upsample: weighted sums of neighbours.

Along each axis, every output is a weighted sum of a few inputs at places that are known when the
model is compiled: look-ups with constant indices. Places and weights are computed in float32 and in
the order in which ONNX Runtime's CPU kernels do it: a place that falls between two pixels is
rounded to one or the other by its last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import fixed, shape_of
from gossamer.graphs.ops.resize import is_old, resized
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native

Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]

_F = np.float32
_HALF, _ONE = _F(0.5), _F(1)
# So near to the middle between two pixels a place is in the middle, for ONNX Runtime 1.32.
_TIE = 1e-6


def _resize(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    old = shape_of(x)
    new, factors = resized(node)
    if list(old) == new:
        return [e("Identity", x)]
    mode = node.attributes.get("mode", "nearest")
    if mode not in ("nearest", "linear", "bilinear", "trilinear", "cubic"):
        raise UnknownSize(f"no lowering for {node.op} of mode {mode}")
    if mode != "nearest" and x.dtype != np.float32:
        raise UnknownSize(f"no lowering for {node.op} of mode {mode} of {x.dtype}")
    crop = _crop(node, len(old))
    outside: list[tuple[int, NDArray[np.bool_]]] = []
    for axis, factor in enumerate(factors):
        # An axis that is not resized is not cropped either.
        if old[axis] == new[axis] if _is_smooth(node) else factor == 1:
            continue
        before, after = fixed([old[axis], new[axis]])
        if factor is None or min(before, after) < 1:
            raise UnknownSize(f"no lowering for {node.op} of nothing")
        places = _places(node, before, after, factor, crop[axis] if crop else (_F(0), _ONE))
        x = _interpolated(e, x, axis, *_taps(node, places, factor, before))
        beyond = (places < 0) | (places > before - 1)
        if crop and beyond.any():
            outside.append((axis, beyond))
    for axis, beyond in outside:
        fill = e.like(x, node.attributes.get("extrapolation_value", 0.0))
        x = e("Where", e.constant(_along(beyond, axis, len(old))), fill, x)
    return [x]


def _is_smooth(node: Node) -> bool:
    return bool(node.attributes.get("antialias", 0))


def _crop(node: Node, rank: int) -> list[tuple[np.float32, np.float32]] | None:
    """The part of each axis that is resized, where the mode crops."""
    if is_old(node) or node.attributes.get("coordinate_transformation_mode") != _CROPPING:
        return None
    region = node.input(1)
    if region is None:
        return [(_F(0), _ONE)] * rank
    if region.data is None:
        raise UnknownSize("a crop is known only when the model runs")
    axes = [axis % rank for axis in node.attributes.get("axes", range(rank))]
    starts, ends = region.data.astype(_F).reshape(2, len(axes))
    parts = dict(zip(axes, zip(starts, ends, strict=True), strict=True))
    return [parts.get(axis, (_F(0), _ONE)) for axis in range(rank)]


_CROPPING = "tf_crop_and_resize"


def _places(
    node: Node,
    before: int,
    after: int,
    factor: np.float32,
    crop: tuple[np.float32, np.float32],
) -> Floats:
    """Where in the input each output lies."""
    place = np.arange(after, dtype=_F)
    old, new = _F(before), _F(after)
    mode = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    if is_old(node) or mode == "asymmetric":
        return place / factor
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and after > 1):
        return (place + _HALF) / factor - _HALF
    if mode == "pytorch_half_pixel" or (mode == "align_corners" and after == 1):
        return np.zeros(after, _F)
    if mode == "tf_half_pixel_for_nn":
        return (place + _HALF) / factor
    if mode == "half_pixel_symmetric":
        # What rounding the size off leaves is cut at both ends.
        offset = old / _F(2) * (_ONE - new / (factor * old))
        exact = float(offset) + (place.astype(np.float64) + 0.5) / float(factor) - 0.5
        return exact.astype(_F)
    if mode == "align_corners":
        return place * (old - _ONE) / (new - _ONE)
    if mode == _CROPPING:
        begin, end = crop
        if after == 1:
            return np.full(1, 0.5 * float(begin + end) * float(old - _ONE), _F)
        return begin * (old - _ONE) + place * (end - begin) * (old - _ONE) / (new - _ONE)
    raise UnknownSize(f"no lowering for {node.op} with {mode}")


def _interpolated(e: Expansion, x: Value, axis: int, taps: Indices, weights: Floats) -> Value:
    rank = len(shape_of(x))
    total: Value | None = None
    for tap, weight in zip(*_shared(taps, weights), strict=True):
        part = e("Gather", x, e.constant(tap), axis=axis)
        if not (weight == 1).all():
            part = e("Mul", part, e.constant(_along(weight, axis, rank)))
        total = part if total is None else e("Add", total, part)
    assert total is not None
    return total


def _shared(taps: Indices, weights: Floats) -> tuple[Indices, Floats]:
    """`[tap, output]` the taps, none of them without a weight: nothing times infinity is NaN.

    Halves of halves of the output's heaviest one, which are exact, take their place.
    """
    used = weights.any(axis=0) | (np.arange(weights.shape[1]) == 0)
    taps, weights = taps[:, used].copy(), weights[:, used].copy()
    heaviest = np.abs(weights).argmax(axis=1)
    outputs = np.arange(len(weights))
    for column in range(weights.shape[1]):
        idle = outputs[weights[:, column] == 0]
        from_ = heaviest[idle]
        weights[idle, from_] /= _F(2)
        weights[idle, column] = weights[idle, from_]
        taps[idle, column] = taps[idle, from_]
    return taps.T, weights.T


def _along(numbers: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    return numbers.reshape([-1 if a == axis else 1 for a in range(rank)])


def _taps(node: Node, places: Floats, factor: np.float32, size: int) -> tuple[Indices, Floats]:
    """`[output, tap]` the inputs that each output is made of, and their weights."""
    mode = node.attributes.get("mode", "nearest")
    if mode == "nearest":
        rounded = _rounded(node, places, factor)
        return np.clip(rounded, 0, size - 1)[:, None], np.ones((len(places), 1), _F)
    sharpness = _F(node.attributes.get("cubic_coeff_a", -0.75))
    cubic = mode == "cubic"
    shape: Callable[[Floats], Floats] = (lambda x: _cubic(x, sharpness)) if cubic else _triangle
    if _is_smooth(node):
        return _smooth_taps(node, places, factor, size, 2 if cubic else 1, shape)
    if not cubic:
        # Beyond the edge lies the edge's own element.
        places = np.clip(places, _F(0), _F(size - 1))
    first = np.floor(places).astype(np.int64)
    taps = first[:, None] + (np.arange(-1, 3) if cubic else np.arange(2))
    fraction = places - first.astype(_F)
    offsets = np.arange(-1, 3, dtype=_F) if cubic else np.arange(2, dtype=_F)
    weights = shape(fraction[:, None] - offsets)
    if node.attributes.get("exclude_outside", 0):
        weights = _normalized(np.where((taps >= 0) & (taps < size), weights, _F(0)))
    return np.clip(taps, 0, size - 1), weights


def _smooth_taps(
    node: Node,
    places: Floats,
    factor: np.float32,
    size: int,
    reach: int,
    shape: Callable[[Floats], Floats],
) -> tuple[Indices, Floats]:
    """Antialiasing: where it shrinks, the filter is as much wider."""
    stretch = max(_ONE / factor, _ONE)
    support = _F(reach) * stretch
    centers = places + _HALF
    first = np.floor(centers - support + _HALF).astype(np.int64)
    last = np.floor(centers + support + _HALF).astype(np.int64)
    taps = first[:, None] + np.arange(2 * math.ceil(support) + 1)
    weights = shape((taps.astype(_F) - centers[:, None] + _HALF) * (_ONE / stretch))
    inside = (taps >= 0) & (taps < size)
    kept = inside if node.attributes.get("exclude_outside", 0) else inside.any(axis=1)[:, None]
    weights = np.where((taps < last[:, None]) & kept, weights, _F(0))
    taps = np.clip(taps, 0, size - 1)
    # What lies beyond an edge is the edge's own element, and counts as one with it.
    for column in range(1, taps.shape[1]):
        again = taps[:, column] == taps[:, column - 1]
        weights[again, column] += weights[again, column - 1]
        weights[again, column - 1] = 0
    return taps, _normalized(weights)


def _normalized(weights: Floats) -> Floats:
    """Weights whose sum is 1, where there are any: a place may lie far outside."""
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total == 0, _ONE, total), _F)


def _rounded(node: Node, places: Floats, factor: np.float32) -> Indices:
    if is_old(node):
        mode = "ceil" if factor < 1 else "floor"
    else:
        mode = node.attributes.get("nearest_mode", "round_prefer_floor")
    # In 64 bits a half can be added exactly.
    rules: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5 - _TIE),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5 + _TIE),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return np.asarray(rules[mode](places.astype(np.float64)), np.int64)


def _triangle(x: Floats) -> Floats:
    return np.asarray(np.maximum(_F(0), _ONE - np.abs(x)))


def _cubic(x: Floats, a: np.float32) -> Floats:
    """Cubic convolution (Keys 1981, equation 4)."""
    x = np.abs(x)
    near = ((a + _F(2)) * x - (a + _F(3))) * x * x + _ONE
    far = ((a * x - _F(5) * a) * x + _F(8) * a) * x - _F(4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, _F(0)))


NATIVE = {name: Native(expand=_resize) for name in ("Resize", "Upsample")}
