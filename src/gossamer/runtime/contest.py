"""Never slower: a model that ONNX Runtime would run faster is left to it whole.

Most models need no timing to tell: those without a layer that generated code could gain on, and
large ones whose work mostly lies in sparse layers. The others run in turn with ONNX Runtime once,
and what came of it is kept on disk by all that it depends on, if it is certain (`trial.py`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from gossamer import machine, version
from gossamer.errors import GossamerError, ModelError, first_line
from gossamer.graphs.dims import Size, number
from gossamer.graphs.operation import Array
from gossamer.graphs.ops import facts
from gossamer.runtime import trial
from gossamer.runtime.codegen import cache
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.ops import native
from gossamer.runtime.ort import Spinning
from gossamer.runtime.program import Program
from gossamer.runtime.steps import Call
from gossamer.runtime.whole import WholeModel

# A multiply-add with a nonzero weight of a sparse layer takes as long as two of a dense one, at
# most, and an element that another kernel writes as long as eight; a model with less than this part
# of its dense work left gains whatever the rest does. Measured at 90 % sparsity (0.2 left), models
# are 2 to 5 times as fast as in ONNX Runtime.
_COST_OF_SPARSE, _COST_OF_ELEMENT, _SURELY_LESS = 2.0, 8.0, 0.4
# Bytes of weights up to which a model is always timed: beyond, opening it in ONNX Runtime as well
# would take most of the time and half of the memory of compiling.
_SOON_OPENED = 32 << 20
_UNTIMED = "generated code and ONNX Runtime could not be timed side by side"
_NOTHING_GAINS = "nothing in the model gains from sparsity"
# Operators of ONNX that become layers, by themselves or by how ONNX defines them.
_MAY_GAIN = {"MatMul", "Gemm", "Conv", "Einsum", "Attention", "AffineGrid"} | {
    "LinearAttention",
    "CausalConvWithState",
}


def is_possible() -> bool:
    """Whether ONNX Runtime is installed; without it nothing is timed."""
    return importlib.util.find_spec("onnxruntime") is not None


def forfeit(graph: Graph) -> str:
    """Why a partitioned graph needs no timing to be left to ONNX Runtime; empty if it does."""
    if any(node.native and native(node).is_heavy for node in graph.nodes):
        return ""
    return _NOTHING_GAINS


def forfeit_unread(operators: Collection[str]) -> str:
    """Why a model is left to ONNX Runtime before its weights are read; empty if it is not.

    Args:
        operators: those of all nodes, of inner graphs and functions as well.
    """
    return "" if _MAY_GAIN & set(operators) else _NOTHING_GAINS


def surely_won(graph: Graph) -> bool:
    """Whether a partitioned graph needs no timing to be run by generated code.

    So it is with large models that run in generated code whole and whose work mostly lies in sparse
    layers; all others are timed.
    """
    # What computes sizes that are known by now takes no part in a run.
    if any(not node.native and node.output.content is None for node in graph.nodes):
        return False
    if graph.constant_bytes() <= _SOON_OPENED:
        return False
    try:
        sizes = trial.sizes_for(graph)
    except GossamerError:
        return False
    dense = left = 0.0
    for node in graph.nodes:
        work, kept = _work(node, sizes)
        dense += work
        left += work * min(1.0, _COST_OF_SPARSE * kept)
        if not native(node).is_heavy and node.output.content is None:
            elements = sum(_count(value.shape, sizes) for value in node.outputs)
            left += _COST_OF_ELEMENT * elements
    return left < _SURELY_LESS * dense


def lost(
    ours: Program,
    run: Callable[[Mapping[str, Array]], object],
    open_theirs: Callable[[str, Spinning], WholeModel],
) -> str:
    """Why the model is left to ONNX Runtime whole; empty where generated code is as fast.

    Both run in turn at the sizes of `trial.sizes_for`. What cannot be timed so is ONNX Runtime's:
    it is what the user would have had. An outcome that is not certain, as on a busy machine, holds
    for this process only.

    Args:
        ours: the compiled model.
        run: runs it on inputs by name, as its user will.
        open_theirs: opens the model in ONNX Runtime, given a reason and how its threads spin.
    """
    try:
        sizes = trial.sizes_for(ours.graph)
        name = _key(ours, sizes)
        outcome = _kept(name)
        if outcome is None:
            feeds = {value.name: trial.made_up(value, sizes) for value in ours.graph.inputs}
    except GossamerError as error:
        return f"{_UNTIMED}: {first_line(error)}"
    if outcome is None:
        try:
            # Between runs its threads would take the cores that ours need.
            theirs = open_theirs("a trial", "within runs")
        except ModelError:
            # Nobody else runs it.
            return ""
        try:
            outcome = trial.time_in_turn(lambda: run(feeds), lambda: theirs.run(None, feeds))
        except GossamerError as error:
            return f"{_UNTIMED}: {first_line(error)}"
        if outcome.certain:
            cache.write(name, json.dumps(asdict(outcome)).encode())
    if not outcome.lost:
        return ""
    return (
        f"the whole model takes {outcome.theirs * 1e3:.3g} ms in ONNX Runtime here, and "
        f"{outcome.ours * 1e3:.3g} ms in generated code"
    )


def _work(node: Node, sizes: Mapping[str, int]) -> tuple[float, float]:
    """Multiply-adds of a node as if it were dense, and the fraction of nonzero weights."""
    rule = facts(node).work
    if not native(node).is_heavy or rule is None:
        return 0.0, 1.0
    weights = node.source(1).data
    kept = 1.0 if weights is None else np.count_nonzero(weights) / max(weights.size, 1)
    return float(number(rule(node), sizes)), kept


def _count(shape: tuple[Size, ...] | None, sizes: Mapping[str, int]) -> float:
    return float(math.prod(number(size, sizes) for size in shape or ()))


def _key(program: Program, sizes: Mapping[str, int]) -> str:
    """What the outcome depends on: both engines, processor, threads, kernels, shapes, sparsity."""
    versions = version.__version__, importlib.metadata.version("onnxruntime")
    parts: list[Any] = [*versions, machine.processor_name(), program.team.threads]

    def shape(value: Value) -> list[int]:
        return [number(size, sizes) for size in value.shape or ()]

    for step in program.steps:
        if isinstance(step, Call):
            taken = [a for a in step.arguments.values() if isinstance(a, Value)]
            parts.append([step.code, *map(shape, taken), round(step.sparsity or 0, 2)])
        elif isinstance(step, FallbackRegion):
            parts += [[node.op, *(v and shape(v) for v in node.inputs)] for node in step.nodes]
    return f"contest-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"


def _kept(name: str) -> trial.Outcome | None:
    """What was found before."""
    try:
        found = json.loads(cache.read(name) or b"")
        ours, theirs, ratio = (float(found[key]) for key in ("ours", "theirs", "ratio"))
        return trial.Outcome(ours, theirs, ratio, certain=True)
    except (ValueError, TypeError, KeyError):
        return None
