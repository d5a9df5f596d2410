"""Batch normalisation after a convolution is a scale and a shift: put them into its weights."""

from __future__ import annotations

import numpy as np

from gossamer.graphs.ops.normalization import by_running_statistics
from gossamer.runtime.graph import Graph, Node, Value, constant, derived


def fold_batch_norm(graph: Graph) -> None:
    """Fold each BatchNormalization into the Conv whose output only it takes.

    With the running mean and variance, y = scale (x - mean) / sqrt(variance + epsilon) + bias
    (Ioffe & Szegedy 2015, algorithm 2).
    """
    for node in list(graph.nodes):
        if node.op != "BatchNormalization" or node.domain:
            continue
        if not by_running_statistics(node, graph.opset):
            continue
        conv = node.source(0).producer
        if conv is None or conv.op != "Conv" or conv.domain:
            continue
        if graph.only_user(conv.output) is not node:
            continue
        folded = _folded(conv, node)
        if folded is not None:
            conv.inputs = [conv.inputs[0], *folded]
            graph.substitute(node, conv.output)


def _folded(conv: Node, norm: Node) -> tuple[Value, Value] | None:
    """The convolution's weights and bias with the normalisation in them, if all are constant."""
    if not _constant(conv) or not _constant(norm):
        return None
    weight, old = conv.source(1).data, conv.input(2)
    assert weight is not None
    before = np.zeros(weight.shape[:1], np.float32) if old is None else old.data
    scale, bias, mean, variance = (norm.source(i).data for i in range(1, 5))
    assert scale is not None and bias is not None and mean is not None
    assert variance is not None and before is not None
    if any(array.shape != weight.shape[:1] for array in (scale, bias, mean, variance, before)):
        # Broken; ONNX Runtime will say how.
        return None
    factor = scale / np.sqrt(variance + np.float32(norm.attributes.get("epsilon", 1e-5)))
    shape = (-1, *([1] * (weight.ndim - 1)))
    scaled, shift = weight * factor.reshape(shape), (before - mean) * factor + bias
    return (
        constant(derived(norm.output, "weight"), scaled.astype(np.float32)),
        constant(derived(norm.output, "bias"), shift.astype(np.float32)),
    )


def _constant(node: Node) -> bool:
    return all(
        value is None or (value.data is not None and value.data.dtype == np.float32)
        for value in node.inputs[1:]
    )
