"""Types and shapes that operators without a rule give: asked of ONNX and of ONNX Runtime.

What the model itself notes of its inner values is asked nowhere: scripts that change an input's
sizes, or a single node, leave it as it was.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import helper

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim, number, symbols_of, worded
from gossamer.runtime import ort
from gossamer.runtime.graph import Graph, Value
from gossamer.runtime.ports import type_of
from gossamer.runtime.protos import declared_value

# Sizes at which a model is tried: small ones, where broadcasting begins, and large ones.
_TRIED, _TRIALS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 64, 128, 256, 1024), 6


def hints(
    model: onnx.ModelProto, inputs: Sequence[Value], ruled: Collection[str]
) -> dict[str, Value]:
    """What the nodes of a model give, by name.

    Args:
        model: the model, without its large weights.
        inputs: those that a run feeds, with their types and shapes.
        ruled: operators of ONNX's own whose types and shapes are known otherwise.
    """
    strange = _strange(model, ruled)
    if not strange:
        return {}
    bare = _bare(model, {value.name: value for value in inputs})
    symbols = {symbol for value in inputs for symbol in symbols_of(value.shape or ())}
    found = _by_onnx(bare, symbols)
    wanted = [
        name
        for node in strange
        for name in node.output
        if name and not (name in found and found[name].known)
    ]
    if wanted and importlib.util.find_spec("onnxruntime") is not None:
        found |= _by_onnx_runtime(bare, wanted, symbols)
    return found


def fits(model: onnx.ModelProto, graph: Graph, ruled: Collection[str]) -> bool:
    """Whether ONNX Runtime takes a model at some sizes within its limits, as far as it can tell.

    The rules know of the operators that have one; others check what they take themselves.

    Args:
        model: the model, without its large weights.
        graph: what was made of it.
        ruled: operators of ONNX's own whose types and shapes are known otherwise.
    """
    if not _strange(model, ruled) or importlib.util.find_spec("onnxruntime") is None:
        return True
    inputs = {value.name: value for value in graph.inputs}
    symbols = {symbol for value in graph.inputs for symbol in symbols_of(value.shape or ())}
    trials = (dict.fromkeys(symbols, size) for size in _TRIED)
    within = [sizes for sizes in trials if not any(worded(one, sizes) for one in graph.limits)]
    return not within or any(_opens(_bare(model, inputs, sizes)) for sizes in within[:_TRIALS])


def _opens(bare: onnx.ModelProto) -> bool:
    try:
        ort.open_session(bare, bare, threads=1, once=True)
    except ModelError:
        return False
    return True


def _strange(model: onnx.ModelProto, ruled: Collection[str]) -> list[onnx.NodeProto]:
    """The nodes whose operators have no rule."""
    return [
        n for n in model.graph.node if n.domain not in ("", "ai.onnx") or n.op_type not in ruled
    ]


def _by_onnx(bare: onnx.ModelProto, symbols: Collection[str]) -> dict[str, Value]:
    try:
        inferred = onnx.shape_inference.infer_shapes(bare).graph
    except Exception:
        return {}
    found = (declared_value(info) for info in (*inferred.value_info, *inferred.output))
    return {value.name: _within(value, symbols) for value in found}


def _by_onnx_runtime(
    bare: onnx.ModelProto, wanted: Collection[str], symbols: Collection[str]
) -> dict[str, Value]:
    """It knows operators of its own, and what follows from them."""
    del bare.graph.output[:]
    bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    try:
        session = ort.open_session(bare, bare, threads=1, once=True)
    except ModelError:
        return {}
    infos = (onnx.ValueInfoProto(name=p.name, type=type_of(p)) for p in session.get_outputs())
    return {info.name: _within(declared_value(info), symbols) for info in infos}


def _within(value: Value, symbols: Collection[str]) -> Value:
    """A value without the shape, if it holds names that were made up for sizes not known."""
    if not symbols_of(value.shape or ()) <= set(symbols):
        value.shape = None
    return value


def _bare(
    model: onnx.ModelProto, inputs: Mapping[str, Value], sizes: Mapping[str, int] | None = None
) -> onnx.ModelProto:
    """The model with nothing said of its inner values, nor of its outputs.

    Args:
        model: the model.
        inputs: with their types and shapes, by name.
        sizes: numbers for open sizes; by default names.
    """
    graph = onnx.GraphProto(name="bare", initializer=model.graph.initializer)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    for info in model.graph.input:
        value = inputs.get(info.name)
        if value is None or value.dtype is None or value.shape is None:
            graph.input.append(info)
            continue
        # A name for each open size, so that what is inferred can speak of it.
        shape = [
            size if not isinstance(size, Dim) else number(size, sizes) if sizes else str(size)
            for size in value.shape
        ]
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        graph.input.append(helper.make_tensor_value_info(info.name, kind, shape))
    graph.node.extend(model.graph.node)
    graph.output.extend(onnx.ValueInfoProto(name=info.name) for info in model.graph.output)
    return onnx.ModelProto(
        ir_version=model.ir_version, opset_import=model.opset_import, graph=graph
    )
