"""Choose a kernel for each layer by timing the candidates on this machine."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer.runtime.codegen import cache, jit
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels import (
    dense_conv,
    dense_linear,
    dense_rows,
    sparse_conv,
    sparse_linear,
    tokens,
)
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.kernel import Kernel, address_of, source_of
from gossamer.runtime.kernels.planes import Geometry, Tiling, tilings
from gossamer.runtime.layouts import GROUP, TILE
from gossamer.runtime.memory import ConstantMemory, Region, view
from gossamer.runtime.signature import Given

CHUNKS = 16
"""Parts of about equal work into which the rows of a sparse layer are divided."""

# Raised when what follows changes, so that choices made before are not taken for new ones.
_REVISION = 2
_BLOCKS = (96, 128, 192, 256)
# Bytes of inputs that a block of a convolution may reach from one tile, and vectors of a tile.
_REACHES = (12 << 10, 20 << 10, 28 << 10, 48 << 10)
_SPARSE_TILES, _TOGETHER_TILES, _DENSE_TILES = (4, 7, 14), (4,), (4, 7)
LEAST_SPARSITY = 0.2
"""Below this the dense kernel always won, by so much that timing both is a waste."""
# Rows are visited together if so much of what they then hold is not zero.
_LEAST_FILL = 0.6
_TOGETHER = 4
# How often each candidate runs; less often, but twice, where that takes longer than this.
_ROUNDS, _SECONDS = 7, 0.3

# How an output is finished costs all the same, so the plain kernels stand for all.
_PLAIN = Epilogue()


@dataclass(frozen=True)
class Choice:
    """How a linear layer runs: with its zeros skipped, in blocks of inputs, or dense."""

    sparse: bool
    block: int = 0
    together: int = 1
    """Rows that are visited together."""


@dataclass(frozen=True)
class ConvChoice(Choice):
    """How a convolution runs; its blocks are of input channels."""

    tile: tuple[int, int] = (1, 1)
    """Rows and columns of vectors."""

    @property
    def tiling(self) -> Tiling:
        """The tiles of a plane."""
        return Tiling(*self.tile)


_AnyChoice = TypeVar("_AnyChoice", bound=Choice)
_Linear: TypeAlias = "dense_linear.DenseLinear | sparse_linear.SparseLinear"
_Conv: TypeAlias = "dense_conv.DenseConv | sparse_conv.SparseConv"


def choose_linear(weight: NDArray[np.float32], target: Target) -> Choice:
    """The fastest kernel for a matrix `[rows, columns]`; what was found before is kept."""
    if sparsity(weight) < LEAST_SPARSITY:
        return Choice(sparse=False)
    columns = weight.shape[1]
    choices = [Choice(sparse=False)]
    for together in _together(weight):
        choices += [
            Choice(True, block, together)
            for block in dict.fromkeys(min(block, columns) for block in _BLOCKS)
        ]
    kernels = {choice: linear_kernel(choice, _PLAIN, target) for choice in choices}
    return _fastest(kernels, lambda: _linear_calls(weight, kernels, target), weight, "", target)


def choose_conv(
    weight: NDArray[np.float32], group: int, geometry: Geometry, target: Target
) -> ConvChoice:
    """The fastest kernel for `[outputs, inputs / group, taps]`; what was found before is kept."""
    choices = []
    each = weight.shape[1]
    if sparsity(weight) >= LEAST_SPARSITY or group > 1:
        for together in _together(weight.reshape(weight.shape[0], -1)) if group == 1 else [1]:
            sizes = _SPARSE_TILES if together == 1 else _TOGETHER_TILES
            for tiling in tilings(geometry.output, sizes):
                tile = (tiling.rows, tiling.columns)
                blocks = _blocks(geometry, tiling, each) if group == 1 else [each]
                choices += [ConvChoice(True, block, together, tile) for block in blocks]
    if group == 1:
        choices += [
            ConvChoice(False, tile=(tiling.rows, tiling.columns))
            for tiling in tilings(geometry.output, _DENSE_TILES)
        ]
    geometry = Geometry(geometry.source, geometry.output, geometry.strides, geometry.taps)
    kernels = {
        choice: conv_kernel(choice, weight, group, geometry, _PLAIN, target) for choice in choices
    }
    return _fastest(
        kernels,
        lambda: _conv_calls(weight, group, geometry, kernels, target),
        weight,
        f"{group} {geometry}",
        target,
    )


def sparsity(weight: NDArray[np.float32]) -> float:
    """Fraction of zeros."""
    return 1 - float(np.count_nonzero(weight)) / max(weight.size, 1)


def _together(weight: NDArray[np.float32]) -> list[int]:
    """How many rows to try to visit together: several where they keep the same columns."""
    rows, columns = weight.shape
    if rows % _TOGETHER:
        return [1]
    kept = np.count_nonzero((weight.reshape(-1, _TOGETHER, columns) != 0).any(axis=1))
    full = np.count_nonzero(weight) >= _LEAST_FILL * _TOGETHER * kept
    return [_TOGETHER] if full and kept else [1]


def _blocks(geometry: Geometry, tiling: Tiling, channels: int) -> list[int]:
    """Input channels whose part that a tile reaches fits the caches, in several sizes."""
    places = np.array(geometry.shapes(tiling)[0].source) // GROUP
    touched = np.unique(places[:, None] + geometry.distances()).size * GROUP * 4
    found = dict.fromkeys(min(channels, max(1, reach // touched)) for reach in _REACHES)
    return list(found)


def _fastest(
    kernels: Mapping[_AnyChoice, Kernel],
    prepare: Callable[[], Iterator[tuple[_AnyChoice, Callable[[], None]]]],
    weight: NDArray[np.float32],
    geometry: str,
    target: Target,
) -> _AnyChoice:
    """The choice whose kernel takes the least time, or that of a like layer before."""
    choices = list(kernels)
    if len(choices) == 1:
        return choices[0]
    name = _key(kernels, weight, geometry, target)
    kept = cache.read(name)
    if kept is not None:
        try:
            return choices[int(json.loads(kept)["choice"])]
        except (ValueError, KeyError, TypeError, IndexError):
            pass
    # In turn, and the least of each: whatever else the machine does then spoils no one candidate.
    calls = dict(prepare())
    least = dict.fromkeys(calls, math.inf)
    end = time.perf_counter() + _SECONDS
    for number in range(_ROUNDS):
        if number > 1 and time.perf_counter() > end:
            break
        for choice, call in calls.items():
            begin = time.perf_counter()
            call()
            least[choice] = min(least[choice], time.perf_counter() - begin)
    best = min(least, key=lambda choice: least[choice])
    found = {"choice": choices.index(best), **asdict(best)}
    cache.write(name, json.dumps(found).encode())
    return best


def _key(
    kernels: Mapping[_AnyChoice, Kernel], weight: NDArray[np.float32], geometry: str, target: Target
) -> str:
    """What the choice depends on: the kernels, the shape, and how many weights are left."""
    sources = dict.fromkeys(kernels.values())
    parts = [jit.key(source_of(kernel, target), target) for kernel in sources]
    # Layers of the same shape and nearly the same sparsity behave alike.
    hundredths = round(100 * np.count_nonzero(weight) / max(weight.size, 1))
    parts += [str(weight.shape), str(hundredths), geometry, str(list(kernels)), str(_REVISION)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".json"


def linear_kernel(choice: Choice, epilogue: Epilogue, target: Target) -> _Linear:
    """The kernel of a choice."""
    if not choice.sparse:
        return dense_linear.DenseLinear(epilogue, target.registers)
    return sparse_linear.SparseLinear(epilogue, choice.together)


def linear_weights(
    kernel: _Linear, choice: Choice, weight: NDArray[np.float32]
) -> dict[str, Given]:
    """What its kernel takes of a matrix `[rows, columns]`."""
    rows, columns = weight.shape
    if isinstance(kernel, dense_linear.DenseLinear):
        packed = dense_rows.pack(weight, kernel.block)
        return {"weights": packed, "rows": rows, "columns": columns}
    lists = sparse_linear.pack(weight, choice.block, CHUNKS, choice.together)
    return {**lists.arguments(), "x_block": choice.block * TILE}


def _linear_calls(
    weight: NDArray[np.float32], kernels: Mapping[Choice, _Linear], target: Target
) -> Iterator[tuple[Choice, Callable[[], None]]]:
    """Calls on two tiles of activations, such as a sequence of 128 tokens fills."""
    rows, columns = weight.shape
    bench = _Bench(2 * columns * TILE, 2 * rows * TILE, rows)
    bench.given |= tokens.arguments((2 * TILE, columns), columns, rows)
    for choice, kernel in kernels.items():
        yield choice, bench.call(kernel, target, linear_weights(kernel, choice, weight))


def conv_kernel(
    choice: ConvChoice,
    weight: NDArray[np.float32],
    group: int,
    geometry: Geometry,
    epilogue: Epilogue,
    target: Target,
) -> _Conv:
    """The kernel of a choice."""
    shapes, masked = geometry.shapes(choice.tiling), not geometry.output.exact
    if not choice.sparse:
        return dense_conv.DenseConv(shapes, epilogue, masked, target.registers)
    wide = sparse_conv.is_wide(weight.shape[1] * group if group > 1 else choice.block, geometry)
    return sparse_conv.SparseConv(shapes, epilogue, wide, masked, choice.together)


def conv_weights(
    kernel: _Conv, choice: ConvChoice, weight: NDArray[np.float32], group: int, geometry: Geometry
) -> dict[str, Given]:
    """What its kernel takes of `[outputs, inputs / group, taps]` and of how the planes lie."""
    given: dict[str, Given] = {"rows": len(weight)}
    given |= geometry.arguments(choice.tiling, weight.shape[1] * group)
    if isinstance(kernel, dense_conv.DenseConv):
        return given | kernel.arguments(weight, geometry)
    lists = sparse_conv.pack(weight, group, geometry, choice.block, CHUNKS, choice.together)
    return {**given, **lists.arguments(), "x_block": choice.block * geometry.source.plane}


def _conv_calls(
    weight: NDArray[np.float32],
    group: int,
    geometry: Geometry,
    kernels: Mapping[ConvChoice, _Conv],
    target: Target,
) -> Iterator[tuple[ConvChoice, Callable[[], None]]]:
    """Calls on one image."""
    rows, channels = weight.shape[0], weight.shape[1] * group
    bench = _Bench(channels * geometry.source.plane, rows * geometry.output.plane, rows)
    bench.given["images"] = 1
    for choice, kernel in kernels.items():
        given = conv_weights(kernel, choice, weight, group, geometry)
        yield choice, bench.call(kernel, target, given)


class _Bench:
    """Memory for a layer's input, output and bias, and calls of kernels on it by one thread."""

    def __init__(self, inputs: int, outputs: int, rows: int) -> None:
        self._region = Region((inputs + outputs + rows) * 4)
        self._memory = ConstantMemory()
        self.given: dict[str, Given] = {}
        """What all calls take."""
        self._places: dict[str, int] = {}
        place = self._region.address
        for name, count in (("x", inputs), ("y", outputs), ("bias", rows)):
            self.given[name] = view(place, (count,), np.dtype(np.float32))
            self._places[name] = place
            place += count * 4

    def call(
        self, kernel: Kernel, target: Target, given: Mapping[str, Given]
    ) -> Callable[[], None]:
        """A call of a kernel, with these arguments and what all calls take."""
        arguments = kernel.signature.bind({**self.given, **given})
        table = np.zeros(len(arguments), np.int64)
        for position, (name, argument) in enumerate(arguments.items()):
            if isinstance(argument, np.ndarray):
                table[position] = self._places.get(name) or self._memory.place(argument)
            else:
                assert isinstance(argument, int)
                table[position] = argument
        run = jit.callable_kernel(address_of(kernel, target))
        # Through the bench, so that the memory behind the table lives as long as the call.
        return lambda: self._run(run, table)

    def _run(self, run: Callable[[int, int, int], None], table: NDArray[np.int64]) -> None:
        run(table.ctypes.data, 0, 1)
