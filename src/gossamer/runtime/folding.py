"""Compute ahead what depends on constants alone, exactly as ONNX Runtime would.

Operators that move elements, and arithmetic that IEEE 754 leaves no choice in, are NumPy's here
(`exact.py`); all others are ONNX Runtime's own where it is installed. What is not computed, for
whatever reason, runs with the rest of the model.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from gossamer.graphs.dims import Dim, product
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array
from gossamer.graphs.ops import facts
from gossamer.runtime import emptiness, ort
from gossamer.runtime.division import is_trapped_on
from gossamer.runtime.graph import Node, Value, constant
from gossamer.runtime.protos import to_proto

_KEPT_SESSIONS = 16


def fold(node: Node, inferred: Inferred) -> None:
    """Compute a node whose inputs are all constant.

    What comes out must be of the type and shape that were inferred. Where it is not, they are not
    to be relied on, and are forgotten.
    """
    if any(output.data is not None for output in node.outputs) or "captured" in node.attributes:
        return
    if facts(node).is_random or any(v is not None and v.data is None for v in node.inputs):
        return
    total = _bytes(node.outputs)
    if total is None or (total > inferred.may_fold and not facts(node).is_view):
        return
    results = _exactly(node, inferred)
    if results is None:
        results = _by_onnx_runtime(node, inferred.opset)
    if results is None:
        return
    pairs = [(o, r) for o, r in zip(node.outputs, results, strict=False) if o.name]
    if any((o.dtype, o.shape) != (r.dtype, r.shape) for o, r in pairs):
        for output, _ in pairs:
            output.dtype = output.shape = output.content = None
        return
    # A view takes no memory beside what it is a view of.
    given = [v.data for v in node.inputs if v is not None and v.data is not None]
    taken = sum(r.nbytes for _, r in pairs if not any(np.may_share_memory(r, g) for g in given))
    if taken > inferred.may_fold:
        return
    inferred.may_fold -= taken
    for output, result in pairs:
        folded = constant(output.name, result)
        output.data, output.content = folded.data, folded.content


def _bytes(values: Sequence[Value]) -> int | None:
    """What values take in all; None where that is not known."""
    total = 0
    for value in values:
        if not value.name:
            continue
        if value.shape is None or value.dtype is None or value.dtype.kind not in "fiub":
            return None
        size = product(value.shape)
        if isinstance(size, Dim):
            return None
        total += size * value.dtype.itemsize
    return total


def _exactly(node: Node, inferred: Inferred) -> list[Array] | None:
    """By a rule of ours; None where there is none for such a node."""
    rule = facts(node).exact
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return rule(node, inferred)
    except Exception:
        # A broken node is refused with its reason when the model runs.
        return None


def _by_onnx_runtime(node: Node, opset: int) -> list[Array] | None:
    if importlib.util.find_spec("onnxruntime") is None or _divides_by_nothing(node):
        return None
    values = list(dict.fromkeys(value for value in node.inputs if value is not None))
    names = {value: f"i{position}" for position, value in enumerate(values)}
    proto = to_proto(node)
    proto.name = ""
    proto.input[:] = [names[value] if value is not None else "" for value in node.inputs]
    proto.output[:] = [f"o{p}" if v.name else "" for p, v in enumerate(node.outputs)]
    feeds = {names[value]: value.data for value in values}
    try:
        graph = helper.make_graph(
            [proto],
            "constant",
            [_typed(names[value], value) for value in values],
            [onnx.ValueInfoProto(name=name) for name in proto.output if name],
        )
        imports = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        emptiness.check_feeds(emptiness.fed(model), feeds)
        made = iter(_session(model.SerializeToString(deterministic=True)).run(None, feeds))
        return [np.asarray(next(made)) if v.name else np.empty(0) for v in node.outputs]
    except Exception:
        # What ONNX Runtime refuses it will refuse with its reason when the model runs.
        return None


def _typed(name: str, value: Value) -> onnx.ValueInfoProto:
    """An input of any shape, so that nodes over many shapes share a session."""
    assert value.data is not None
    kind = helper.np_dtype_to_tensor_dtype(value.data.dtype)
    return helper.make_tensor_value_info(name, kind, [None] * value.data.ndim)


@functools.lru_cache(maxsize=_KEPT_SESSIONS)
def _session(serialized: bytes) -> Any:
    model = onnx.ModelProto.FromString(serialized)
    return ort.open_session(serialized, model, threads=1, once=True)


def _divides_by_nothing(node: Node) -> bool:
    """Whether integers are divided by 0, or the least by -1, which ends the process."""
    divisor = node.input(1)
    if node.op not in ("Div", "Mod") or divisor is None or divisor.data is None:
        return False
    given = divisor.data
    return given.dtype.kind in "iu" and is_trapped_on(given)
