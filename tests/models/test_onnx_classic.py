"""What is said of classic models."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from gossamer.models.onnx_classic import classic_notes
from gossamer.verbs.inspect import inspect_graph


def _model(op: str, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in "xy")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets)


@pytest.mark.parametrize(
    ("op", "attributes", "words"),
    [
        ("TreeEnsembleRegressor", {"nodes_treeids": [0, 0, 0, 1, 1]}, "of 2 trees with 5 nodes"),
        ("LinearClassifier", {"coefficients": [1.0, 2.0, 3.0]}, "with 3 coefficients"),
        ("SVMRegressor", {"support_vectors": [1.0] * 2000}, "2.00 k numbers in its support"),
    ],
)
def test_what_it_is_and_why_it_is_not_pruned(op: str, attributes: Any, words: str) -> None:
    (note,) = classic_notes(_model(op, **attributes))
    assert note.startswith(op) and words in note and "zeros" in note


def test_what_prepares_the_inputs_needs_no_word() -> None:
    assert classic_notes(_model("Scaler", offset=[0.0], scale=[1.0])) == []


def test_inspect_says_it() -> None:
    found = inspect_graph(_model("LinearRegressor", coefficients=[1.0, 2.0, 3.0]))
    assert not found.layers and "3 coefficients" in " ".join(found.notes)
