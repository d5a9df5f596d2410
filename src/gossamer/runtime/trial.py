"""Two engines on one model in turn: at which sizes, on which inputs, and what their times say."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gossamer.errors import DataError
from gossamer.graphs.dims import number, symbols_of, worded
from gossamer.graphs.operation import Array
from gossamer.runtime.graph import Graph, Value
from gossamer.runtime.samples import leading_symbols

CLEARLY_SLOWER = 1.05
"""What differs by less than this is a tie, which generated code wins."""

# Sizes that the model leaves open: of a batch, and of any other axis.
_BATCH, _LENGTH = 1, 128
# Times that a size is doubled or halved to meet a limit.
_TRIES = 16
# Pairs of runs after which to look whether the outcome is certain. At each, the interval between
# the pairs counted from either end holds the median of all ratios in 99 of 100 cases.
_LOOKS = {8: 0, 12: 1, 18: 3, 27: 6, 40: 11}
_LEAST_PAIRS, _SECONDS = 3, 5.0
# Runs before the first that counts: memory comes to the caches, and a session learns whether
# its helpers pay. Then one run before each that counts, where that is soon done.
_WARM_UP, _WARM_UP_SECONDS, _SOON = 20, 0.03, 0.01


@dataclass(frozen=True)
class Outcome:
    """Times of generated code and of ONNX Runtime.

    Attributes:
        ours: median seconds of a run of generated code.
        theirs: likewise of ONNX Runtime.
        ratio: the median of the first by the second, pair by pair.
        certain: whether the side of `CLEARLY_SLOWER` on which the ratio lies is beyond doubt: the
            interval of the ratio lies there, and so does the ratio of the shortest runs, which
            whatever else the machine does disturbs least.
    """

    ours: float
    theirs: float
    ratio: float
    certain: bool

    @property
    def lost(self) -> bool:
        """Whether generated code is the slower one. In doubt the median decides, which errs as
        often to either side."""
        return self.ratio > CLEARLY_SLOWER


def sizes_for(graph: Graph) -> dict[str, int]:
    """A number for each symbol of the inputs' shapes: one sample, 128 along any other open axis.

    Raises:
        DataError: if the model takes no such sizes, nor others near them.
    """
    batches = leading_symbols(graph)
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        for symbol in symbols_of(value.shape or ()):
            sizes[symbol] = _BATCH if symbol in batches else _LENGTH
    for limit in graph.limits:
        bounded, most = limit
        for _ in range(_TRIES):
            if not worded(limit, sizes):
                break
            for symbol in symbols_of([bounded]):
                # A size that is limited from below has a negative limit: see `dims.limit_below`.
                sizes[symbol] = sizes[symbol] * 2 if most < 0 else max(1, sizes[symbol] // 2)
    for limit in graph.limits:
        broken = worded(limit, sizes)
        if broken:
            raise DataError(broken)
    return sizes


def made_up(value: Value, sizes: Mapping[str, int]) -> Array:
    """An input that models take: random floats, ones for masks, zeros for what may be indices.

    Raises:
        DataError: if the input is not a tensor of numbers of a known rank.
    """
    if value.shape is None or value.dtype is None or value.dtype.kind not in "fiub":
        raise DataError(f"no input can be made up for {value.name!r}")
    shape = tuple(number(size, sizes) for size in value.shape)
    if value.dtype.kind == "b" or "mask" in value.name.lower():
        return np.ones(shape, value.dtype)
    if value.dtype.kind != "f":
        return np.zeros(shape, value.dtype)
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(value.dtype)


def time_in_turn(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Time two ways to run a model in turn, until it is certain which is faster.

    Args:
        ours: runs generated code once.
        theirs: runs ONNX Runtime once.
        clock: seconds.

    Returns:
        What they take; uncertain after 40 pairs, or after 5 seconds and 3 pairs.
    """
    for run in (ours, theirs):
        _warm_up(run, clock)
    seconds: tuple[list[float], list[float]] = ([], [])
    begin = clock()
    while True:
        for run, times in zip((ours, theirs), seconds, strict=True):
            start = clock()
            run()
            end = clock()
            if end - start < _SOON:
                # What the other one left in the caches is no part of a run in practice.
                start = clock()
                run()
                end = clock()
            times.append(end - start)
        count = len(seconds[0])
        certain = count in _LOOKS and _is_certain(*seconds)
        is_over = count >= _LEAST_PAIRS and clock() - begin > _SECONDS
        if certain or is_over or count == max(_LOOKS):
            middle, other = map(statistics.median, seconds)
            return Outcome(middle, other, statistics.median(_ratios(*seconds)), certain)


def _warm_up(run: Callable[[], object], clock: Callable[[], float]) -> None:
    begin = clock()
    for _ in range(_WARM_UP):
        run()
        if clock() - begin > _WARM_UP_SECONDS:
            return


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return sorted(one / max(other, 1e-9) for one, other in zip(ours, theirs, strict=True))


def _is_certain(ours: list[float], theirs: list[float]) -> bool:
    """Whether all that the times say lies on one side."""
    ratios = _ratios(ours, theirs)
    beyond = _LOOKS[len(ratios)]
    said = ratios[beyond], ratios[-1 - beyond], min(ours) / max(min(theirs), 1e-9)
    return len({ratio > CLEARLY_SLOWER for ratio in said}) == 1
