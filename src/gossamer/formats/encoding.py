"""One tensor as a bit mask and its nonzero values, or as it is, whichever is smaller.

At sparsity s a tensor of b-byte elements takes `1/8 + (1 - s) b` bytes an element when sparse: at
90 % and fp32, 0.131 of its dense size. A weight of -0.0 counts as zero: masking leaves such zeros
behind (`-0.3 * 0`), and they restore as +0.0. Everything else keeps its bits, NaN payloads too.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from gossamer.errors import ModelError
from gossamer.formats.description import Malformed, StoredTensor
from gossamer.formats.dtypes import NAMES, container_dtype, dtype_of, from_container, to_container

Array = np.ndarray[Any, Any]

# A second entry in the container's header costs about this much, so that a short vector with
# one zero in it stays dense.
_HEADER_ENTRY_BYTES = 96
_POPCOUNT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)


def encode(
    name: str, array: Array, values: Literal["fp32", "fp16"] = "fp32", *, graph_only: bool = False
) -> tuple[StoredTensor, dict[str, Array]]:
    """Return the description of `array` and its parts by container name.

    Args:
        name: what to call the tensor, here and in errors.
        array: any shape, 0-d and empty included; an element type of `formats.dtypes`.
        values: "fp16" stores float32 and float64 elements as float16 (values below 6e-8 in
            magnitude become zero); "fp32" stores every element in its own type.
        graph_only: whether the tensor belongs to the ONNX graph and not to the model's state.

    Raises:
        ModelError: for an element type that the file does not hold, or a value beyond fp16.
    """
    dtype = array.dtype.name
    if dtype not in NAMES:
        raise ModelError(
            f"tensor {name!r} holds {dtype} elements, which the sparse file does not know; "
            "convert it to float32 or an integer type first"
        )
    # ascontiguousarray alone would turn 0-d into 1-d.
    stored = np.ascontiguousarray(array).reshape(array.shape)
    if values == "fp16" and dtype in ("float32", "float64"):
        stored = _to_half(name, stored)
    keep = stored != 0
    nonzeros = int(np.count_nonzero(keep))
    parts: tuple[Array, ...]
    if sparse_bytes(stored.size, nonzeros, stored.itemsize) < stored.nbytes:
        encoding: Literal["sparse", "dense"] = "sparse"
        parts = (np.packbits(keep), to_container(stored[keep]))
    else:
        encoding, parts = "dense", (to_container(stored),)
    description = StoredTensor(
        name=name,
        dtype=dtype,
        shape=array.shape,
        encoding=encoding,
        values=stored.dtype.name,
        nonzeros=nonzeros,
        crc32=_checksum(parts),
        graph_only=graph_only,
    )
    return description, dict(zip(description.container_keys(), parts, strict=True))


def sparse_bytes(size: int, nonzeros: int, itemsize: int) -> int:
    """Return what a tensor takes as a bit mask and its nonzero values, in bytes.

    Args:
        size: number of elements.
        nonzeros: how many of them are not zero.
        itemsize: bytes of one element.
    """
    return -(-size // 8) + nonzeros * itemsize + _HEADER_ENTRY_BYTES


def check(tensor: StoredTensor, container: Mapping[str, Array]) -> None:
    """Compare the parts of `tensor` with its description.

    Raises:
        Malformed: if a type, a shape, a count or the checksum differs.
    """
    parts = tuple(container[key] for key in tensor.container_keys())
    values = parts[-1]
    expected = (tensor.nonzeros,) if tensor.encoding == "sparse" else tensor.shape
    if values.dtype != container_dtype(tensor.values) or values.shape != expected:
        raise Malformed(f"tensor {tensor.name!r} has values of another type or shape")
    if _checksum(parts) != tensor.crc32:
        raise Malformed(f"tensor {tensor.name!r} does not match its checksum")
    if tensor.encoding == "dense":
        found = int(np.count_nonzero(from_container(values, tensor.values)))
    else:
        mask = parts[0]
        if mask.dtype != np.uint8 or mask.shape != (-(-tensor.size // 8),):
            raise Malformed(f"tensor {tensor.name!r} has a mask of another size")
        padding = -tensor.size % 8
        if padding and mask[-1] & ((1 << padding) - 1):
            raise Malformed(f"tensor {tensor.name!r} has a mask that is longer than its shape")
        found = int(_POPCOUNT[mask].sum(dtype=np.int64))
    if found != tensor.nonzeros:
        raise Malformed(f"tensor {tensor.name!r} has {found} nonzeros instead of {tensor.nonzeros}")


def decode(tensor: StoredTensor, container: Mapping[str, Array]) -> Array:
    """Return the tensor, dense and freshly allocated, from parts that `check` has passed."""
    parts = tuple(container[key] for key in tensor.container_keys())
    values = from_container(parts[-1], tensor.values)
    if tensor.encoding == "dense":
        return values.astype(dtype_of(tensor.dtype))
    dense = np.zeros(tensor.size, dtype_of(tensor.dtype))
    dense[np.unpackbits(parts[0], count=tensor.size).view(np.bool_)] = values
    return dense.reshape(tensor.shape)


def _checksum(parts: tuple[Array, ...]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part.reshape(-1).view(np.uint8).data, checksum)
    return checksum


def _to_half(name: str, array: Array) -> Array:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    lost = np.isinf(half) & ~np.isinf(array)
    if lost.any():
        raise ModelError(
            f"tensor {name!r} holds {array[lost][0]:g}, beyond fp16's largest value 65504; "
            'save it with values="fp32"'
        )
    return half
