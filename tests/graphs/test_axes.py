"""How the axes of a node's inputs and outputs correspond, held to what ONNX Runtime computes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

sys.path.insert(0, str(Path(__file__).parents[1]))

from differential import compare, models, oracle
from gossamer.graphs.axes import Axes, Axis, Joined, Label, labels_of, regrouped
from gossamer.graphs.dims import Dim, UnknownSize
from gossamer.graphs.inferred import NOT_INFERRED
from gossamer.graphs.ops import OPERATORS, facts
from gossamer.runtime.graph import Node, Value, constant
from gossamer.runtime.protos import attributes_of

Choose = Callable[[Label], np.ndarray]
RANDOM = np.random.default_rng(0)
COUNTS = {"num_groups", "group", "num_outputs", "hidden_size"}
"""Attributes that say how long something is."""


def every_value(case: models.Case) -> dict[str, np.ndarray]:
    """The arrays of all values of a model, in its first world."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    given = {o.name for o in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in made if n not in given)
    arrays = oracle.run(oracle.session(model), case.worlds[0])
    names = [output.name for output in model.graph.output]
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return stored | case.worlds[0] | dict(zip(names, arrays, strict=True))


def nodes_of(seeds: range) -> Iterator[tuple[onnx.NodeProto, Node, int, list[Any], list[Any]]]:
    """Nodes of random models: as ONNX has them, as rules see them, and what they take and give."""
    for seed in seeds:
        try:
            case = models.make(seed)
            values = every_value(case)
        except (models.Invalid, oracle.Unfit):
            continue
        for proto in case.model.graph.node:
            taken = [values[name] if name else None for name in proto.input]
            given = [values[name] if name else None for name in proto.output]
            if proto.domain or proto.op_type in ("Constant", "Dropout"):
                continue
            inputs = [None if array is None else constant("", array) for array in taken]
            outputs = [Value("", a.dtype, a.shape) if a is not None else Value("") for a in given]
            node = Node(proto.op_type, inputs, outputs, attributes_of(proto, case.opset))
            yield proto, node, case.opset, taken, given


def chosen(array: np.ndarray, axes: tuple[Axis, ...], choose: Choose) -> np.ndarray:
    """The positions that are chosen of each label, along every axis that has it."""
    for position, axis in enumerate(axes):
        parts = axis.parts if isinstance(axis, Joined) else (axis,)
        places, begin = [], 0
        for part in parts:
            sizes = [int(label.size) for label in part]
            grid = np.arange(int(np.prod(sizes))).reshape(sizes)
            for along, label in enumerate(part):
                grid = np.take(grid, choose(label), axis=along)
            places.append(begin + grid.reshape(-1))
            begin += int(np.prod(sizes))
        array = np.take(array, np.concatenate(places), axis=position)
    return array


def of(label: Label, positions: np.ndarray) -> Choose:
    """These positions of one label, all of every other."""
    return lambda other: positions if other is label else np.arange(int(other.size))


def run(
    proto: onnx.NodeProto, opset: int, taken: list[Any], axes: Axes, choose: Choose
) -> list[np.ndarray] | None:
    """ONNX Runtime's outputs for the positions chosen of the inputs; None where it refuses."""
    node = onnx.NodeProto()
    node.CopyFrom(proto)
    node.input[:] = [f"i{p}" if a is not None else "" for p, a in enumerate(taken)]
    feeds = {
        f"i{p}": a if labelled is None else chosen(a, labelled, choose)
        for p, (a, labelled) in enumerate(zip(taken, axes.inputs, strict=True))
        if a is not None
    }
    tensors = [onnx.numpy_helper.from_array(np.array(a, order="C"), n) for n, a in feeds.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "node", [], outputs, tensors)
    try:
        return oracle.run(oracle.session(oracle.model_of(graph, {"": opset})), {})
    except oracle.Unfit:
        return None


def sized(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    def size(part: tuple[Label, ...]) -> int:
        return int(np.prod([int(label.size) for label in part]))

    return tuple(
        sum(map(size, axis.parts)) if isinstance(axis, Joined) else size(axis) for axis in axes
    )


def _is_finite(array: np.ndarray) -> bool:
    """ONNX Runtime drops a NaN or keeps it, by where it lies."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def check(seeds: range) -> dict[str, int]:
    """Hold the rules to random nodes; how many labels of each operator were tried."""
    tried: dict[str, int] = {}
    for proto, node, opset, taken, given in nodes_of(seeds):
        rule = facts(node).axes
        arrays = [array for array in (*taken, *given) if array is not None]
        if rule is None or not all(a.size and _is_finite(a) for a in arrays):
            continue
        try:
            axes = rule(node, opset)
        except NOT_INFERRED:
            continue
        about = f"{node.op} of {[None if a is None else a.shape for a in taken]} {node.attributes}"
        assert len(axes.inputs) == len(taken), about
        assert len(axes.outputs) == len(given), about
        for labelled, array in zip((*axes.inputs, *axes.outputs), (*taken, *given), strict=True):
            assert labelled is None or array is None or sized(labelled) == array.shape, about
        pairs = [p for p in zip(axes.outputs, given, strict=True) if p[1] is not None]
        every = labels_of(axis for found in (*axes.inputs, *axes.outputs) for axis in found or ())
        out = labels_of(axis for found in axes.outputs for axis in found or ())
        into = labels_of(axis for found in axes.inputs for axis in found or ())
        for label in every - axes.opaque:
            size = int(label.size)
            choices = [RANDOM.permutation(size)]
            # Along a label that is not mixed, what is left out changes nothing else.
            if (
                size > 1
                and label in (out & into) - axes.mixed
                and not COUNTS & set(node.attributes)
            ):
                choices.append(np.sort(RANDOM.permutation(size)[: size - 1]))
            for positions in choices:
                found = run(proto, opset, taken, axes, of(label, positions))
                if found is None:
                    continue
                for array, (labelled, whole) in zip(found, pairs, strict=True):
                    if labelled is None:
                        continue
                    wanted = chosen(whole, labelled, of(label, positions))
                    if array.shape != wanted.shape and len(positions) < size:
                        # A shape that is written down, or sizes that decide what is computed.
                        continue
                    narrow = np.float16 in (array.dtype, *(a.dtype for a in taken if a is not None))
                    assert not compare.difference(array, wanted, narrow), about
                tried[node.op] = tried.get(node.op, 0) + 1
    return tried


def test_what_is_said_of_axes_holds_in_onnx_runtime() -> None:
    """Permuted inputs give the permuted output; along what is not mixed, fewer give fewer."""
    tried = check(range(60))
    assert sum(tried.values()) > 500


@pytest.mark.slow
def test_it_does_of_every_operator() -> None:
    tried = check(range(60, 800))
    known = {name for name, op in OPERATORS.items() if op.axes and "." not in name}
    made = {"Shape", "Size", "Range", "ConstantOfShape", "Scan", "Dropout", "EyeLike"}
    assert known - made <= tried.keys()


@pytest.mark.parametrize(
    ("source", "result", "expected"),
    [
        ((2, 12), (2, 3, 4), "0 1.2 -> 0 1 2"),
        ((2, 3, 4), (2, 12), "0 1 2 -> 0 1.2"),
        ((2, 12), (4, 6), "0 1.2 -> 0.1 2"),
        ((1, 6), (6, 1), " 0 -> 0 "),
        ((4, 6), (6, 4), "0 1 -> 2 3"),
        ((), (1, 1), " ->  "),
    ],
)
def test_axes_of_a_reshape(source: Any, result: Any, expected: str) -> None:
    found = regrouped(source, result)
    (taken,), (given,) = found.inputs, found.outputs
    names: dict[Label, str] = {}

    def written(axes: Any) -> str:
        return " ".join(
            ".".join(names.setdefault(label, str(len(names))) for label in axis) for axis in axes
        )

    assert f"{written(taken)} -> {written(given)}" == expected
    assert bool(found.opaque) == (source == (4, 6))


def test_an_open_axis_is_followed_through_a_reshape() -> None:
    batch, length = Dim.symbol("B"), Dim.symbol("S")
    found = regrouped((batch, length, 12), (batch * length, 3, 4))
    (b, s, d), (rows, heads, size) = found.inputs[0], found.outputs[0]
    assert rows == (*b, *s)
    assert d == (*heads, *size)


def test_what_a_rule_cannot_bound_it_does_not_say() -> None:
    node = Node("Reshape", [Value("x", np.dtype(np.float32))], [Value("y")])
    with pytest.raises(UnknownSize):
        OPERATORS["Reshape"].axes(node, 21)
