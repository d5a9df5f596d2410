"""A smaller model that still shows a fault: nodes are cut out, their outputs given as inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import helper, numpy_helper

from differential import models, oracle
from differential.worker import load, save


def smaller(path: Path, fails: Callable[[Path], bool]) -> None:
    """Reduce a model that was kept, in place, as far as it still fails."""
    trial = path.with_name("trial.onnx")

    def keep(model: onnx.ModelProto, worlds: list[dict[str, Any]]) -> bool:
        try:
            models.run_worlds(model, worlds)
        except oracle.Unfit:
            return False
        save(trial, model, worlds)
        if not fails(trial):
            return False
        save(path, model, worlds)
        return True

    changed = True
    while changed:
        changed = False
        model, worlds = load(path)
        for world in range(len(worlds) - 1, -1, -1):
            fewer = [worlds[world]]
            if len(worlds) > 1 and keep(model, fewer):
                worlds, changed = fewer, True
                break
        for place in range(len(model.graph.output) - 1, -1, -1):
            model, worlds = load(path)
            if len(model.graph.output) > 1:
                del model.graph.output[place]
                changed |= keep(pruned(model), _taken(pruned(model), worlds))
        for place in range(len(load(path)[0].graph.node) - 1, -1, -1):
            model, worlds = load(path)
            if place >= len(model.graph.node):
                continue
            changed |= _cut(model, worlds, place, keep)


def _cut(model: onnx.ModelProto, worlds: list[dict[str, Any]], place: int, keep: Any) -> bool:
    """Try the model that ends with a node's inputs, and the one that begins with its outputs."""
    node = model.graph.node[place]
    named = [name for name in node.output if name]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    inner = dict.fromkeys(name for n in model.graph.node for name in n.output if name)
    whole.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in inner)
    try:
        known = [
            dict(zip(inner, values, strict=True)) for values in models.run_worlds(whole, worlds)
        ]
    except oracle.Unfit:
        return False
    # It ends before this node.
    before = onnx.ModelProto()
    before.CopyFrom(model)
    del before.graph.node[place]
    kept = [info for info in before.graph.output if info.name not in named]
    makers = {name for n in before.graph.node for name in n.output}
    taken = [name for name in node.input if name in makers]
    del before.graph.output[:]
    before.graph.output.extend(kept)
    present = {info.name for info in kept}
    before.graph.output.extend(
        helper.make_tensor_value_info(name, _type(known[0][name]), [None] * known[0][name].ndim)
        for name in dict.fromkeys(taken)
        if name not in present
    )
    users = [n for n in before.graph.node if set(n.input) & set(named)]
    if not users and before.graph.output:
        small = pruned(before)
        if keep(small, _taken(small, worlds)):
            return True
    # It begins behind this node: as inputs, or as constants.
    after = onnx.ModelProto()
    after.CopyFrom(model)
    del after.graph.node[place]
    after_outputs = [info for info in after.graph.output if info.name not in named]
    del after.graph.output[:]
    after.graph.output.extend(after_outputs)
    if not after.graph.output:
        return False
    fed = [dict(feeds) for feeds in worlds]
    for name in named:
        arrays = [values[name] for values in known]
        kind = _type(arrays[0])
        sizes = [
            arrays[0].shape[axis] if len({a.shape[axis] for a in arrays}) == 1 else f"{name}.{axis}"
            for axis in range(arrays[0].ndim)
        ]
        after.graph.input.append(helper.make_tensor_value_info(name, kind, sizes))
        for feeds, array in zip(fed, arrays, strict=True):
            feeds[name] = array
    small = pruned(after)
    if keep(small, _taken(small, fed)):
        return True
    constant = onnx.ModelProto()
    constant.CopyFrom(model)
    if not all((values[n] == known[0][n]).all() for values in known[1:] for n in named):
        return False
    if all(name in {t.name for t in model.graph.initializer} for name in node.input if name):
        del constant.graph.node[place]
        constant.graph.initializer.extend(
            numpy_helper.from_array(known[0][name], name) for name in named
        )
        small = pruned(constant)
        return bool(keep(small, _taken(small, worlds)))
    return False


def _type(array: Any) -> int:
    kind: int = helper.np_dtype_to_tensor_dtype(array.dtype)
    return kind


def pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what none of its outputs needs."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    needed = {info.name for info in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
            for attribute in node.attribute:
                needed |= {name for inner in attribute.g.node for name in inner.input}
    kept = {
        "node": nodes[::-1],
        "initializer": [tensor for tensor in graph.initializer if tensor.name in needed],
        "input": [info for info in graph.input if info.name in needed],
        "value_info": [info for info in graph.value_info if info.name in needed],
    }
    for field, items in kept.items():
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        del getattr(graph, field)[:]
        getattr(graph, field).extend(copies)
    return found


def _taken(model: onnx.ModelProto, worlds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {info.name for info in model.graph.input}
    return [{n: a for n, a in feeds.items() if n in names} for feeds in worlds]
