"""Whether two outputs agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TOLERANCE = 1e-4
TOLERANCE_OF_16_BITS = 2e-2


def difference(ours: Array, theirs: Array, narrow: bool = False) -> str:
    """In what an output differs from ONNX Runtime's; empty if it agrees.

    Args:
        narrow: whether numbers of 16 bits were on the way.
    """
    if ours.dtype != theirs.dtype:
        return f"type {ours.dtype} instead of {theirs.dtype}"
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)} instead of {list(theirs.shape)}"
    if theirs.dtype.kind != "f":
        return "" if np.array_equal(ours, theirs) else "other elements"
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return "NaN at other places"
    infinite = np.isinf(theirs)
    if not np.array_equal(np.isinf(ours), infinite) or not np.array_equal(
        ours[infinite], theirs[infinite]
    ):
        return "infinities at other places"
    off, largest = distance(ours, theirs), magnitude(theirs)
    tolerance = TOLERANCE_OF_16_BITS if narrow or theirs.dtype == np.float16 else TOLERANCE
    return "" if off <= tolerance * largest else f"{off:.3g} off, of {largest:.3g}"


def distance(a: Array, b: Array) -> float:
    """The largest difference of finite elements."""
    finite = np.isfinite(a) & np.isfinite(b)
    return float(np.abs(a[finite].astype(np.float64) - b[finite]).max(initial=0))


def magnitude(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=0))


def nearer(ours: Array, theirs: Array, exact: Array | None) -> bool:
    """Whether ours is no farther from the same in 64 bits than ONNX Runtime's is."""
    if exact is None or not ours.shape == theirs.shape == exact.shape:
        return False
    if ours.dtype != theirs.dtype:
        return False
    if theirs.dtype.kind != "f":
        return np.array_equal(ours, exact)
    nan = np.isnan(exact)
    if not np.array_equal(np.isnan(ours), nan) or not np.array_equal(
        ours[np.isinf(exact)], exact[np.isinf(exact)]
    ):
        return False
    if difference(theirs, exact.astype(theirs.dtype)).endswith("other places"):
        # NaN or infinities that ONNX Runtime alone has.
        return not difference(ours, exact.astype(ours.dtype))
    return distance(ours, exact) <= distance(theirs, exact)


def differing(
    ours: Sequence[Array], theirs: Sequence[Array], narrow: bool = False
) -> dict[int, str]:
    """The outputs that differ, and in what."""
    if len(ours) != len(theirs):
        return {-1: f"{len(ours)} outputs instead of {len(theirs)}"}
    found = {i: difference(a, b, narrow) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))}
    return {i: reason for i, reason in found.items() if reason}
