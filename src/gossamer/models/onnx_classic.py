"""What a classic model holds, trees or coefficients, and why no zeros save anything there."""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import AttributeProto, ModelProto

from gossamer.graphs.nodes import nodes
from gossamer.quantities import count

_DOMAIN = "ai.onnx.ml"
# The attribute that tells the trees apart, by operator.
_TREES = {
    "TreeEnsembleClassifier": "nodes_treeids",
    "TreeEnsembleRegressor": "nodes_treeids",
    "TreeEnsemble": "tree_roots",
}
_NODES = ("nodes_treeids", "nodes_splits")
# Operators whose weights are an attribute, which no kernel and no pruning reaches.
_LINEAR = ("LinearClassifier", "LinearRegressor")
_VECTORS = ("SVMClassifier", "SVMRegressor")


def classic_notes(model: ModelProto) -> list[str]:
    """Return a sentence for each classic estimator in a model: what it is, why it is not pruned."""
    notes = []
    for node in nodes(model):
        if node.domain != _DOMAIN:
            continue
        held = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type in _TREES:
            trees = len({*held[_TREES[node.op_type]].ints}) if _TREES[node.op_type] in held else 0
            notes.append(
                f"{node.op_type} of {count(trees)} trees with {count(_length(held, *_NODES))} "
                "nodes: trees compare and do not multiply, so that zeros save nothing there; "
                "fewer or shallower trees do."
            )
        elif node.op_type in _LINEAR:
            notes.append(
                f"{node.op_type} with {count(_length(held, 'coefficients'))} coefficients: ONNX "
                "Runtime runs it, and skips no zeros; a penalty on their absolute values (L1) when "
                "it is fitted leaves out whole inputs."
            )
        elif node.op_type in _VECTORS:
            notes.append(
                f"{node.op_type} with {count(_length(held, 'support_vectors'))} numbers in its "
                "support vectors: ONNX Runtime runs it, and skips no zeros; fewer support vectors "
                "save."
            )
    return notes


def _length(held: Mapping[str, AttributeProto], *names: str) -> int:
    """Return how many numbers the first of these attributes holds that is there."""
    for name in names:
        if name in held:
            attribute = held[name]
            return len(attribute.ints) or len(attribute.floats) or math.prod(attribute.t.dims)
    return 0
