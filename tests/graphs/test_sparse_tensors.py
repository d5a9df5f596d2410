"""Sparse tensors are refused by what they take together, before memory is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

import gossamer
from gossamer import runtime
from gossamer.errors import ModelError, UnsafeModelError
from gossamer.formats import load_onnx
from gossamer.graphs.sparse_tensors import check_sparse, sparse_tensors, unfold

SIZE = 40 << 20
"""Elements of one of the tensors: 160 MiB when dense."""


def sparse(name: str, size: int = SIZE, kept: int = 1) -> SparseTensorProto:
    return SparseTensorProto(
        dims=[size],
        values=numpy_helper.from_array(np.ones(kept, np.float32), name),
        indices=numpy_helper.from_array(np.arange(kept), f"{name}_at"),
    )


def model(
    nodes: list[onnx.NodeProto],
    *held: SparseTensorProto,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    nodes = [*nodes, helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], sparse_initializer=list(held))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def constant(name: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], sparse_value=sparse(""))


def branch(name: str) -> onnx.GraphProto:
    end = helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE])
    return helper.make_graph([constant(name)], name, [], [end])


TWO = [constant("a"), constant("b")]
CHOICE = helper.make_node("If", ["x"], ["a"], then_branch=branch("t"), else_branch=branch("e"))
FUNCTION = helper.make_function("own", "Two", [], ["a"], TWO, [helper.make_opsetid("", 17)])
TOO_MUCH = {
    "initializers": lambda: model([], sparse("a"), sparse("b")),
    "constants": lambda: model(TWO),
    "both": lambda: model(TWO[:1], sparse("b")),
    "branches": lambda: model([CHOICE]),
    "a function": lambda: model(
        [helper.make_node("Two", [], ["a"], domain="own")], functions=[FUNCTION]
    ),
}


@pytest.mark.parametrize("made", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_much_in_all_is_refused_wherever_it_is(
    made: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    given = made()
    assert len(list(sparse_tensors(given))) == 2
    with pytest.raises(UnsafeModelError, match=r"the model has .* take 0\.312 GiB in all"):
        check_sparse(given, "the model")
    path = tmp_path / "bomb.onnx"
    onnx.save(given, path)
    for take in (load_onnx, runtime.compile, gossamer.inspect, gossamer.compile):
        with pytest.raises(ModelError, match=r"GiB in all when dense; "):
            take(path)


def test_a_model_may_be_a_thousand_times_as_large_as_it_is_stored() -> None:
    check_sparse(model([], sparse("a")), "the model")
    # 12 bytes each, of 160 MiB twice: a thousandth are some 28,000.
    kept = SIZE * 4 // 1000 // 12 + 1
    check_sparse(model([], sparse("a", kept=kept), sparse("b", kept=kept)), "the model")
    with pytest.raises(UnsafeModelError):
        check_sparse(model([], sparse("a", kept=kept), sparse("b", kept=kept // 2)), "the model")


def test_zeros_are_filled_in_at_flat_and_at_full_positions() -> None:
    values = numpy_helper.from_array(np.float32([1, 2]), "w")
    for positions in ([1, 5], [[0, 1], [1, 2]]):
        indices = numpy_helper.from_array(np.array(positions), "at")
        array = unfold(helper.make_sparse_tensor(values, indices, [2, 3]), "w", "the model")
        np.testing.assert_array_equal(array, [[0, 1, 0], [0, 0, 2]])


def test_elements_in_other_files_are_not_looked_for() -> None:
    given = sparse("w", 10)
    given.values.data_location = TensorProto.EXTERNAL
    given.values.external_data.add(key="location", value="here")
    with pytest.raises(ModelError, match="contradicts itself"):
        unfold(given, "w", "the model")
