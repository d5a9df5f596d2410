"""Never slower: a model that ONNX Runtime would run faster is left to it whole.

Most models need no timing to tell: those without a layer that generated code could gain on, and
those whose work mostly lies in sparse layers. The others run in turn with ONNX Runtime once, and
what came of it is kept on disk by all that it depends on.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from gossamer.errors import GossamerError
from gossamer.runtime.codegen import cache
from gossamer.runtime.dims import Dim, Size, number, worded
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Array, Graph, Node, Value
from gossamer.runtime.ort import Spinning
from gossamer.runtime.passes.partition import HEAVY
from gossamer.runtime.program import Call, Program
from gossamer.runtime.whole import WholeModel

# A multiply-add with a nonzero weight of a sparse layer takes as long as two of a dense one, at
# most; a model with less than this part of its dense work left gains whatever the rest does.
_COST_OF_SPARSE, _SURELY_LESS = 2.0, 0.6
# Sizes that the model leaves open: the first axis is a batch, any other a sequence.
_BATCH, _SEQUENCE = 1, 128
# Times that a size is doubled or halved to meet a limit.
_TRIES = 16
_ROUNDS, _LEAST_ROUNDS, _SECONDS = 7, 3, 2.0
# What differs by less than this is a tie, which generated code wins.
_CLEARLY_SLOWER = 1.05
_NOTHING_GAINS = "nothing in the model gains from sparsity"
# Operators of ONNX that become layers, by themselves or by how ONNX defines them.
_MAY_GAIN = {"MatMul", "Gemm", "Conv", "Einsum", "Attention"}


def is_possible() -> bool:
    """Whether ONNX Runtime is installed; without it nothing is timed."""
    return importlib.util.find_spec("onnxruntime") is not None


def forfeit(graph: Graph) -> str:
    """Why a partitioned graph needs no timing to be left to ONNX Runtime; empty if it does."""
    if any(node.native and node.op in HEAVY for node in graph.nodes):
        return ""
    return _NOTHING_GAINS


def forfeit_unread(operators: Collection[str]) -> str:
    """Why a model is left to ONNX Runtime before its weights are read; empty if it is not.

    Args:
        operators: those of all nodes, of inner graphs and functions as well.
    """
    return "" if _MAY_GAIN & set(operators) else _NOTHING_GAINS


def surely_won(graph: Graph) -> bool:
    """Whether a partitioned graph needs no timing to be run by generated code."""
    # What computes sizes that are known by now takes no part in a run.
    if any(not node.native and node.output.content is None for node in graph.nodes):
        return False
    sizes = _trial_sizes(graph)
    dense = left = 0.0
    for node in graph.nodes:
        work, kept = _work(node, sizes)
        dense += work
        left += work * min(1.0, _COST_OF_SPARSE * kept)
    return left < _SURELY_LESS * dense


def lost(ours: Program, open_theirs: Callable[[str, Spinning], WholeModel]) -> str:
    """Why the model is left to ONNX Runtime whole; empty where generated code is as fast.

    Both run on random inputs of a typical size. Where that cannot be, generated code is taken.

    Args:
        ours: the compiled model.
        open_theirs: opens the model in ONNX Runtime, given a reason and how its threads spin.
    """
    try:
        sizes = _trial_sizes(ours.graph)
        if any(worded(limit, sizes) for limit in ours.graph.limits):
            # Generated code runs within its limits only.
            return ""
        name = _key(ours, sizes)
        seconds = _kept(name)
        if seconds is None:
            # Between runs its threads would take the cores that ours need.
            seconds = _time_in_turn(ours, open_theirs("a trial", "within runs"), sizes)
            cache.write(name, json.dumps(seconds).encode())
    except (GossamerError, TypeError):
        # Inputs that it takes cannot be made up, or one of the two does not run the model.
        return ""
    if seconds[0] <= _CLEARLY_SLOWER * seconds[1]:
        return ""
    return (
        f"the whole model takes {seconds[1] * 1e3:.3g} ms in ONNX Runtime here, and "
        f"{seconds[0] * 1e3:.3g} ms in generated code"
    )


def _trial_sizes(graph: Graph) -> dict[str, int]:
    """A number for each symbol of the inputs' shapes, within what the model takes."""
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            for symbol in size.symbols if isinstance(size, Dim) else ():
                sizes[symbol] = min(sizes.get(symbol, _SEQUENCE), _SEQUENCE if axis else _BATCH)
    for limit in graph.limits:
        bounded, most = limit
        for _ in range(_TRIES):
            if not worded(limit, sizes):
                break
            for symbol in bounded.symbols if isinstance(bounded, Dim) else ():
                # A size that is limited from below has a negative limit: see `dims.limit_below`.
                sizes[symbol] = sizes[symbol] * 2 if most < 0 else max(1, sizes[symbol] // 2)
    return sizes


def _work(node: Node, sizes: Mapping[str, int]) -> tuple[float, float]:
    """Multiply-adds of a dense layer of a node's shape, and the fraction of nonzero weights."""
    if node.op not in HEAVY:
        return 0.0, 1.0

    def count(shape: tuple[Size, ...] | None) -> float:
        return float(math.prod(number(size, sizes) for size in shape or ()))

    output = node.output.shape or ()
    if node.op == "Attention":
        keys = node.source(1).shape or ()
        return 2 * count(output) * count(keys[1:2]), 1.0
    weights = node.source(1).data
    assert weights is not None
    positions = output[:-1] if node.op == "Linear" else (output[0], *output[2:])
    return count(positions) * weights.size, np.count_nonzero(weights) / max(weights.size, 1)


def _key(program: Program, sizes: Mapping[str, int]) -> str:
    """What the outcome depends on: kernels (and the processor), shapes, sparsity, threads."""
    parts: list[Any] = [program.team.threads, importlib.metadata.version("onnxruntime")]
    for step in program.steps:
        if isinstance(step, Call):
            taken = [a for a in step.arguments if isinstance(a, Value)]
            shapes = [[number(s, sizes) for s in value.shape or ()] for value in taken]
            parts.append([step.code, shapes, round(step.sparsity or 0, 2)])
        elif isinstance(step, FallbackRegion):
            parts += [[node.op, [str(v and v.shape) for v in node.inputs]] for node in step.nodes]
    return f"contest-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"


def _kept(name: str) -> tuple[float, float] | None:
    """The seconds found before, of generated code and of ONNX Runtime."""
    try:
        ours, theirs = json.loads(cache.read(name) or b"")
        return float(ours), float(theirs)
    except (ValueError, TypeError):
        return None


def _time_in_turn(
    ours: Program, theirs: WholeModel, sizes: Mapping[str, int]
) -> tuple[float, float]:
    """Median seconds of a run of each."""
    feeds = {value: _made_up(value, sizes) for value in ours.graph.inputs}
    named = {value.name: array for value, array in feeds.items()}
    runs: tuple[Callable[[], object], ...] = (
        lambda: ours.run(sizes, feeds),
        lambda: theirs.run(None, named),
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    for turn in range(_ROUNDS + 1):
        for run, times in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            # The first turn warms up.
            if turn:
                times.append(time.perf_counter() - start)
        if turn >= _LEAST_ROUNDS and time.perf_counter() - begin > _SECONDS:
            break
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _made_up(value: Value, sizes: Mapping[str, int]) -> Array:
    """An input that every model takes: random floats, and zeros for what may be indices.

    Raises:
        TypeError: if the input is not a tensor of numbers of a known rank.
    """
    if value.shape is None or value.dtype is None or value.dtype.kind not in "fiub":
        raise TypeError(f"no input can be made up for {value.name!r}")
    shape = tuple(number(size, sizes) for size in value.shape)
    if value.dtype.kind != "f":
        return np.zeros(shape, value.dtype)
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(value.dtype)
