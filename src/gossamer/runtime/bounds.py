"""How much a model may ask for: nothing is allocated that this machine's memory cannot hold.

A broken or hostile model can state any size in a few bytes. A legal one may need nearly all of the
memory at a large batch, so the machine decides what is too large, not a constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import onnx

from gossamer.errors import ModelError, UnsafeModelError
from gossamer.graphs.dims import number, symbols_of
from gossamer.graphs.nodes import with_inner
from gossamer.machine import memory as memory
from gossamer.runtime.graph import Graph, Value
from gossamer.runtime.layouts import Planes

# Floats of one image of one channel: 16,384 x 16,384 pixels. Kernels hold a mask as large.
_LARGEST_PLANE = 1 << 28
# Large language models have some ten thousand.
_MOST_NODES = 1 << 18
# Functions that call each other.
_DEEPEST = 100


def size_of(value: Value, sizes: Mapping[str, int]) -> int:
    """Bytes of a value of known type and shape, as it lies in memory."""
    assert value.shape is not None and value.dtype is not None
    shape = [number(size, sizes) for size in value.shape]
    return value.layout.size(shape, value.dtype.itemsize)


def check(graph: Graph) -> None:
    """Refuse a graph with a value that is too large even where all open sizes are 1.

    Raises:
        UnsafeModelError: that names the value and its shape.
        ModelError: likewise, where only its layout in generated code is too large.
    """
    for value in _values(graph):
        if not value.known or value.shape is None:
            continue
        assert value.dtype is not None
        sizes = dict.fromkeys(symbols_of(value.shape), 1)
        # Beside a size of 0 any other takes no memory, but it is a number in generated code.
        shape = [number(size, sizes) for size in value.shape]
        size = max(math.prod(shape) * value.dtype.itemsize, max(shape, default=0))
        if size > memory():
            raise UnsafeModelError(f"{describe(value, size)}; make it smaller")
        size = size_of(value, sizes)
        crowded = isinstance(value.layout, Planes) and value.layout.plane > _LARGEST_PLANE
        if size > memory() or crowded:
            raise ModelError(f"{describe(value, size)}; make it smaller")


def check_functions(model: onnx.ModelProto) -> None:
    """Refuse a model whose functions call themselves, or become too many nodes.

    Raises:
        UnsafeModelError: that says so, or how many.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    known: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def nodes_of(key: tuple[str, str]) -> int:
        if key in open_calls:
            raise UnsafeModelError(f"the model's function {key[1]!r} is recursive; export it anew")
        if key not in known:
            if len(open_calls) == _DEEPEST:
                raise UnsafeModelError("the model's functions lie too deep; export it without them")
            open_calls.add(key)
            known[key] = count(functions[key].node)
            open_calls.remove(key)
        return known[key]

    def count(nodes: Iterable[onnx.NodeProto]) -> int:
        keys = ((node.domain, node.op_type) for node in with_inner(nodes))
        return sum(nodes_of(key) if key in functions else 1 for key in keys)

    total = count(model.graph.node)
    if model.functions and total > _MOST_NODES:
        raise UnsafeModelError(
            f"the model's functions become {total:.3g} nodes; export it without them"
        )


def describe(value: Value, size: int) -> str:
    """A value with its shape and bytes, beside the memory of this machine."""
    shape = ", ".join(map(str, value.shape or ()))
    return (
        f"{value.name!r} of shape [{shape}] takes {size / 2**30:.3g} GiB where this machine has "
        f"{memory() / 2**30:.3g} GiB of memory"
    )


def _values(graph: Graph) -> Iterable[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.outputs
