"""Where the time goes, layer by layer, in a dense and a sparse model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from gossamer.models.onnx_layers import OnnxLayer, find_layers, name_uses
from gossamer.verbs.inspect import inspect_graph

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerTimes:
    """One layer, dense and sparse.

    Attributes:
        name: of the ONNX node, or of the module.
        weights: number of them.
        sparsity: fraction of zeros in the sparse model.
        dense_seconds, sparse_seconds: of one inference in Gossamer; None where ONNX Runtime runs
            the layer.
    """

    name: str
    weights: int
    sparsity: float
    dense_seconds: float | None
    sparse_seconds: float | None


def compare_layers(
    dense: onnx.ModelProto, sparse: onnx.ModelProto, feeds: Mapping[str, Array], threads: int | None
) -> tuple[tuple[LayerTimes, ...], tuple[float, float] | None]:
    """Time each layer of two models within their runs.

    Args:
        dense, sparse: models of the same layers.
        feeds: one inference.
        threads: to run with; by default every core that the process may use.

    Returns:
        The layers, and the seconds of everything else, dense and sparse; no layers and None where
        the models do not have the same.
    """
    timed = [_timed(model, feeds, threads) for model in (dense, sparse)]
    ours, theirs = ([found.layer.rows * found.layer.columns for found in one[0]] for one in timed)
    if ours != theirs:
        return (), None
    inspected = inspect_graph(sparse, feeds).layers
    zeros = {layer.name: layer.zeros for layer in inspected}
    return tuple(
        LayerTimes(
            name=found.layer.name,
            weights=found.layer.rows * found.layer.columns,
            sparsity=zeros[found.layer.name] / max(1, found.layer.rows * found.layer.columns),
            dense_seconds=before,
            sparse_seconds=after,
        )
        for found, before, after in zip(timed[1][0], timed[0][1], timed[1][1], strict=True)
    ), (timed[0][2], timed[1][2])


def _timed(
    model: onnx.ModelProto, feeds: Mapping[str, Array], threads: int | None
) -> tuple[list[OnnxLayer], tuple[float | None, ...], float]:
    """Return a model's layers, the seconds of each in Gossamer, and those of everything else."""
    from gossamer.pruning.layer_times import layer_seconds
    from gossamer.runtime import compile

    named = name_uses(model)
    layers = [found for found in find_layers(named) if found.layer.gain]
    nodes = [[use.node.name for use in found.uses] for found in layers]
    with compile(named, threads=threads, engine="gossamer") as session:
        seconds, rest = layer_seconds(session, dict(feeds), nodes)
    return layers, seconds, rest
