"""Batch normalisation after a convolution is a scale and a shift: put them into its weights."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.graph import Graph, Node, constant


def fold_batch_norm(graph: Graph) -> None:
    """Fold each BatchNormalization into the Conv whose output only it takes.

    With the running mean and variance, y = scale (x - mean) / sqrt(variance + epsilon) + bias
    (Ioffe & Szegedy 2015, algorithm 2).
    """
    users = graph.users()
    for node in graph.nodes:
        if node.op != "BatchNormalization" or node.domain:
            continue
        conv = node.source(0).producer
        if conv is None or conv.op != "Conv" or len(users.get(conv.output, [])) != 1:
            continue
        if conv.output in graph.outputs or not _constant(conv) or not _constant(node):
            continue
        scale, bias, mean, variance = (node.source(i).data for i in range(1, 5))
        weight = conv.source(1).data
        assert scale is not None and bias is not None and mean is not None
        assert variance is not None and weight is not None
        before = conv.input(2)
        old = before.data if before is not None else np.zeros(weight.shape[:1], np.float32)
        assert old is not None
        if any(array.shape != weight.shape[:1] for array in (scale, bias, mean, variance, old)):
            # Broken; ONNX Runtime will say how.
            continue
        factor = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
        shape = (-1, *([1] * (weight.ndim - 1)))
        conv.inputs = [
            conv.inputs[0],
            constant(
                f"{node.output.name}.weight", (weight * factor.reshape(shape)).astype(np.float32)
            ),
            constant(f"{node.output.name}.bias", ((old - mean) * factor + bias).astype(np.float32)),
        ]
        graph.replace(node.output, conv.output)


def _constant(node: Node) -> bool:
    return all(
        value is None or (value.data is not None and value.data.dtype == np.float32)
        for value in node.inputs[1:]
    )
