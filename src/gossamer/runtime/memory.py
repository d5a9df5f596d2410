"""Memory for a session: page-aligned regions on huge pages, and a plan that reuses them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import mmap
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = 2 << 20
# Elements of an array by which others that may equal it are looked up.
_SAMPLE = 64
ALIGNMENT = 64
"""Bytes: one cache line, and one vector of the widest target."""


def align(size: int, to: int = ALIGNMENT) -> int:
    """The size rounded up to a multiple."""
    return -(-size // to) * to


def give_back() -> None:
    """Return memory that is no longer used to the system, where its allocator can be told to.

    Compiling takes and drops several times the model; without this, glibc keeps most of it.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


class Region:
    """Zeroed memory that begins on a huge page, where the system has such.

    Huge pages matter: with 4 KiB pages, sparse kernels spend a third of their time on address
    translation (docs/internals/performance.md).

    Raises:
        MemoryError: if the system gives no such memory.
    """

    def __init__(self, size: int) -> None:
        length = align(max(size, 1), _PAGE) + _PAGE
        try:
            if hasattr(mmap, "MAP_PRIVATE"):
                # Shared memory, Python's default, gets no huge pages.
                self._map = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            else:
                self._map = mmap.mmap(-1, length)
        except (OSError, OverflowError):
            raise MemoryError(f"the system gives no {size} bytes") from None
        if hasattr(mmap, "MADV_HUGEPAGE"):
            # Refused where the kernel has huge pages switched off; ordinary ones do then.
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_HUGEPAGE)
        self._view = ctypes.c_char.from_buffer(self._map)
        self.address = align(ctypes.addressof(self._view), _PAGE)
        self.size = size


class Arena:
    """One region for all who use it in turn, as large as the largest of them needs.

    What lies in it does not outlast the next call of `reach`.
    """

    def __init__(self) -> None:
        self._region: Region | None = None
        self.moves = 0
        """How often it has come to lie elsewhere."""

    def reach(self, size: int) -> int:
        """The address of so many bytes.

        Raises:
            MemoryError: if the system gives no such memory.
        """
        if self._region is None or self._region.size < size:
            # Pages that nobody touches take no memory, and a next size is often a little larger.
            ample = self._region.size * 5 // 4 if self._region else 0
            # Let go first: there may not be room for both.
            self._region = None
            self.moves += 1
            self._region = Region(max(size, ample))
        return self._region.address


def view(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory as an array."""
    count = math.prod(shape)
    if not count:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(memoryview(memory), dtype, count).reshape(shape)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that kernels may take where it lies."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


class ConstantMemory:
    """Arrays that do not change: copies side by side on huge pages, the largest where they are.

    Equal ones lie in one place: layers that share their weights are packed alike.
    """

    _LEAST = 16 << 20

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._used = 0
        self._kept: list[NDArray[Any]] = []
        self._placed: dict[object, list[int]] = {}

    def place(self, array: NDArray[Any]) -> int:
        """The address of an array, or of a copy, which lives as long as this object."""
        sample = array.reshape(-1)[:: max(1, array.size // _SAMPLE)]
        alike = self._placed.setdefault((array.dtype, array.shape, sample.tobytes()), [])
        for address in alike:
            if _same_bits(view(address, array.shape, array.dtype), array):
                return address
        alike.append(self._place(array))
        return alike[-1]

    def _place(self, array: NDArray[Any]) -> int:
        address = array.ctypes.data
        if array.nbytes >= self._LEAST and array.flags.c_contiguous and not address % ALIGNMENT:
            # NumPy asks for huge pages itself; a second copy would be most of the peak.
            self._kept.append(array)
            return address
        size = align(array.nbytes)
        if not self._regions or self._used + size > self._regions[-1].size:
            self._regions.append(Region(max(size, self._LEAST)))
            self._used = 0
        address = self._regions[-1].address + self._used
        self._used += size
        view(address, array.shape, array.dtype)[...] = array
        return address


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether arrays of one shape and type hold the same, NaN and signs of zeros included."""
    left, right = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, other))
    return np.array_equal(left, right)


@dataclass(frozen=True)
class Lifetime:
    """How many bytes a value takes, and the first and last step that touch it."""

    size: int
    first: int
    last: int


def plan(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Places for values in one region, so that no two alive at once overlap.

    Greedy by size: the largest value first, each at the lowest offset where it fits (Pisarchyk &
    Lee 2020, section 5.2).

    Returns:
        The offset in bytes of each value, and the size of the region.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].size):
        mine = lifetimes[index]
        offset = 0
        for other in sorted(placed, key=lambda i: offsets[i]):
            theirs = lifetimes[other]
            if theirs.last < mine.first or mine.last < theirs.first:
                continue
            if offset + mine.size <= offsets[other]:
                break
            offset = max(offset, align(offsets[other] + theirs.size))
        offsets[index] = offset
        placed.append(index)
        total = max(total, offset + align(mine.size))
    return offsets, total
