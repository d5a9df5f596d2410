"""The element types a sparse file holds, by the name its description writes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

# Types that numpy itself lacks travel in the container as unsigned integers of the same width,
# because not every safetensors release reads them; the description keeps their true name.
_RAW = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
_NATIVE = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
)
_DTYPES: dict[str, np.dtype[Any]] = {
    **{name: np.dtype(name) for name in _NATIVE},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in _RAW},
}
NAMES = frozenset(_DTYPES)

CONTAINER_TYPES = frozenset(
    (*("BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"), "F16", "F32", "F64", "C64")
)
"""What safetensors calls the types under which elements are stored."""


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the numpy type called `name` (a member of `NAMES`)."""
    return _DTYPES[name]


def to_container(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """View `array` in the type under which the container stores it, bit for bit."""
    raw = _RAW.get(array.dtype.name)
    return array if raw is None else array.view(raw)


def container_dtype(name: str) -> np.dtype[Any]:
    """Return the type under which the container stores elements of type `name`."""
    return np.dtype(_RAW.get(name, name))


def from_container(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """Undo `to_container` for elements of type `name`."""
    return array.view(_DTYPES[name]) if name in _RAW else array
