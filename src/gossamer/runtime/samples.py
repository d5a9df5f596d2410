"""Whether the samples of a batch can run apart: a large batch then goes through in parts that stay
in the cache."""

from __future__ import annotations

import math
from pathlib import Path

from gossamer.graphs.axes import Axes, labels_of
from gossamer.graphs.dims import Dim, symbols_of
from gossamer.graphs.inferred import NOT_INFERRED
from gossamer.graphs.ops import facts
from gossamer.runtime.graph import Graph, Node, Value

_LAST_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
_USUAL_CACHE = 16 << 20


def batch_symbol(graph: Graph) -> str | None:
    """The size of the batch by name, if every sample of it can run apart, else None.

    Each value must have the batch as its first axis and nowhere else, and each node must compute
    the samples of its output from the same samples of its inputs. The graph is partitioned.
    """
    symbols = {_symbol(value) for value in [*graph.inputs, *graph.outputs]}
    if len(symbols) != 1 or None in symbols:
        return None
    (symbol,) = symbols
    assert symbol is not None
    for node in graph.nodes:
        taken = [value for value in node.inputs if value is not None and value.data is None]
        if not node.native or not taken:
            return None
        if any(_symbol(value) != symbol for value in [*taken, *node.outputs]):
            return None
        if not _by_sample(node, graph.opset):
            return None
    return symbol


def leading_symbols(graph: Graph) -> set[str]:
    """Sizes that look like those of a batch: of the first axis of all that depends on them.

    Weaker than `batch_symbol`: it serves to guess at which sizes a model runs. A length is found
    along other axes too (what attends to every place has it twice), is summed away, or is what a
    recurrent layer walks along.
    """
    nodes = [node for node in graph.nodes if all(o.content is None for o in node.outputs)]
    values = [*graph.inputs, *(value for node in nodes for value in node.outputs)]
    leading = {s for value in values for s in _symbols(value, slice(1))}
    leading -= {s for value in values for s in _symbols(value, slice(1, None))}
    for node in nodes:
        taken = {s for v in node.inputs if v is not None for s in _symbols(v, slice(1))}
        axes = _axes(node, graph.opset)
        if axes is not None and _runs_through(axes):
            leading -= taken
        for output in node.outputs:
            if output.shape is not None:
                leading -= taken - _symbols(output, slice(1))
    return leading


def _symbols(value: Value, axes: slice) -> set[str]:
    return symbols_of((value.shape or ())[axes])


def _symbol(value: Value) -> str | None:
    """The name of the first axis's size, if it alone depends on the input."""
    if not value.shape:
        return None
    first, *rest = value.shape
    if not isinstance(first, Dim):
        return None
    if any(isinstance(size, Dim) for size in rest):
        return None
    return next((name for name in first.symbols if first == Dim.symbol(name)), None)


def _by_sample(node: Node, opset: int) -> bool:
    """Whether the first axis of all that is no constant is the same, and each place in it apart."""
    axes = _axes(node, opset)
    if axes is None:
        return False
    given = zip(axes.inputs, node.inputs, strict=True)
    taken = [found for found, value in given if value is not None and value.data is None]
    first = {found[:1] if found else None for found in (*taken, *axes.outputs)}
    return len(first) == 1 and first != {None} and not _runs_through(axes)


def _runs_through(axes: Axes) -> bool:
    """Whether what lies along the first axis of the output depends on what lies beside it."""
    first = labels_of(axis for found in axes.outputs for axis in (found or ())[:1])
    return bool(first & (axes.mixed | axes.opaque))


def _axes(node: Node, opset: int) -> Axes | None:
    rule = facts(node).axes
    try:
        return None if rule is None else rule(node, opset)
    except NOT_INFERRED:
        return None


def together(count: int, memory: int, threads: int) -> int:
    """How many of `count` samples to run together that need so many bytes of memory in all.

    As many as fit half of the last cache (the other half is for weights), but one a thread at
    least: threads gain most from samples of their own.
    """
    room = _cache_size() // 2
    if memory <= room:
        return count
    fit = count * room // memory // threads * threads
    return min(count, max(fit, threads))


def _cache_size() -> int:
    try:
        text = _LAST_CACHE.read_text(encoding="ascii").strip()
        units = {"K": 1 << 10, "M": 1 << 20}
        return int(text.rstrip("KM")) * math.prod(units.get(unit, 1) for unit in text[-1:])
    except (OSError, ValueError):
        return _USUAL_CACHE
