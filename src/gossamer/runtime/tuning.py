"""Choose a kernel for each linear layer by timing the candidates on this machine."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen import cache, jit
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels import dense_linear, sparse_linear
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import address_of, source_of
from gossamer.runtime.layouts import GROUP, TILE
from gossamer.runtime.memory import ConstantMemory, Region

CHUNKS = 16
"""Parts of about equal work into which the rows of a sparse layer are divided."""

_BLOCKS = (96, 128, 192, 256)
# Below this sparsity the dense kernel always won, by so much that timing both is a waste.
_LEAST_SPARSITY = 0.2
_ROUNDS = 7

# How an output is finished costs both the same, so the plain kernels stand for all.
_SPARSE = sparse_linear.SparseLinear(Epilogue())
_DENSE = dense_linear.DenseLinear(Epilogue())


@dataclass(frozen=True)
class Choice:
    """How a linear layer runs: with its zeros skipped, in blocks of inputs, or dense."""

    sparse: bool
    block: int = 0


def choose(weight: NDArray[np.float32], target: Target) -> Choice:
    """The fastest kernel for these weights on this machine; what was found before is kept."""
    sparsity = 1 - np.count_nonzero(weight) / max(weight.size, 1)
    if sparsity < _LEAST_SPARSITY:
        return Choice(sparse=False)
    name = _key(weight, target)
    kept = cache.read(name)
    if kept is not None:
        try:
            found = json.loads(kept)
            return Choice(bool(found["sparse"]), int(found["block"]))
        except (ValueError, KeyError, TypeError):
            pass
    choice = _time_all(weight, target)
    cache.write(name, json.dumps(choice.__dict__).encode())
    return choice


def _key(weight: NDArray[np.float32], target: Target) -> str:
    """What the choice depends on: the kernels, the shape, and how many weights are left."""
    parts = [jit.key(source_of(kernel, target), target) for kernel in (_SPARSE, _DENSE)]
    # Layers of the same shape and nearly the same sparsity behave alike.
    hundredths = round(100 * np.count_nonzero(weight) / weight.size)
    parts += [str(weight.shape), str(hundredths), str(_BLOCKS), str(CHUNKS), str(_ROUNDS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".json"


def _time_all(weight: NDArray[np.float32], target: Target) -> Choice:
    rows, columns = weight.shape
    bench = _Bench(rows, columns)
    sparse, dense = (
        jit.callable_kernel(address_of(kernel, target)) for kernel in (_SPARSE, _DENSE)
    )
    calls: dict[Choice, Callable[[], None]] = {}
    for block in dict.fromkeys(min(block, columns) for block in _BLOCKS):
        packed = sparse_linear.pack(weight, block, CHUNKS)
        numbers = [block * TILE, -(-columns // block), CHUNKS]
        calls[Choice(sparse=True, block=block)] = bench.call(sparse, packed.arrays(), numbers)
    matrix = dense_linear.pack(weight, dense_linear.rows_in_block(target))
    calls[Choice(sparse=False)] = bench.call(dense, [matrix], [columns, rows])
    # In turn, and the least of each: whatever else the machine does then spoils no one candidate.
    least = dict.fromkeys(calls, math.inf)
    for _ in range(_ROUNDS):
        for choice, call in calls.items():
            begin = time.perf_counter()
            call()
            least[choice] = min(least[choice], time.perf_counter() - begin)
    return min(least, key=lambda choice: least[choice])


class _Bench:
    """Two tiles of activations, such as a sequence of 128 tokens fills."""

    _TILES = 2

    def __init__(self, rows: int, columns: int) -> None:
        self._x_tile, self._y_tile = columns * TILE, rows * TILE
        x_size, y_size = (self._TILES * tile * 4 for tile in (self._x_tile, self._y_tile))
        self._region = Region(x_size + y_size + rows * 4)
        x = self._region.address
        self._pointers = [x, x + x_size, x + x_size + y_size]
        self._memory = ConstantMemory()

    def call(
        self, kernel: Any, arrays: Sequence[NDArray[Any]], numbers: Sequence[int]
    ) -> Callable[[], None]:
        """A call of a kernel on these weights, on one thread."""
        weights = [self._memory.place(array) for array in arrays]
        tiles = [self._TILES, TILE // GROUP, self._x_tile, self._y_tile]
        arguments = np.array([*self._pointers, *weights, *tiles, *numbers], np.int64)
        return lambda: kernel(arguments.ctypes.data, 0, 1)
