"""What each layer takes within a run of Gossamer's own runtime. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from gossamer.formats.onnx_message import copy_model
from gossamer.models.onnx_constants import read, write
from gossamer.models.onnx_layers import OnnxLayer, find_layers

if TYPE_CHECKING:
    from gossamer.models.adapter import Batch
    from gossamer.runtime import Session

Matrix = NDArray[np.float32]

# Of each row, the exporter may have multiplied all weights by one number: a folded batch norm.
_SAME = 1e-4
# Rows that are compared; two different layers differ in all of them.
_ROWS = 32


def matrix(found: OnnxLayer) -> Matrix:
    """Return an ONNX layer's weight as `[rows, columns]`."""
    return read(found.weight, {})


def zero_weights(
    model: onnx.ModelProto,
    names: Collection[str],
    kept: Callable[[Matrix], NDArray[np.bool_]],
) -> onnx.ModelProto:
    """Return a copy of a model in which the layers named have zeros, for timing only.

    How long a layer takes follows from how many zeros it has, and hardly from where they are.

    Args:
        model: its external data loaded.
        names: of layers, as `find_layers` calls them.
        kept: from the sizes |W| of a layer, `[rows, columns]`, to which of its weights stay.
    """
    pruned = copy_model(model)
    for found in find_layers(pruned):
        if found.layer.name in names:
            weight = matrix(found)
            write(found.weight, weight * kept(np.abs(weight)), {})
    return pruned


def layer_seconds(
    session: Session, feeds: Batch, nodes: Sequence[Sequence[str]]
) -> tuple[tuple[float | None, ...], float]:
    """Time each layer within a run.

    Args:
        session: of a model whose nodes have names of their own; see `onnx_layers.name_uses`.
        feeds: one inference.
        nodes: names of the nodes that use each layer's weight.

    Returns:
        The seconds of each layer, all its uses together, None for one that is left to ONNX
        Runtime; and those of everything else.
    """
    lines = session.explain(feeds)
    taken: dict[str, float] = {}
    for line in lines:
        # Only a kernel with weights has a sparsity: not what else bears the layer's name.
        if line.sparsity is not None and line.seconds is not None:
            taken[line.name] = taken.get(line.name, 0.0) + line.seconds
    layers = []
    for names in nodes:
        known = [taken[name] for name in names if name in taken]
        layers.append(sum(known) if names and len(known) == len(names) else None)
    whole = sum(line.seconds or 0.0 for line in lines)
    return tuple(layers), whole - sum(seconds or 0.0 for seconds in layers)


def match_layers(
    weights: Mapping[str, Matrix], exported: Sequence[OnnxLayer]
) -> dict[str, list[OnnxLayer]]:
    """Find the layers of a model in its ONNX export, whose names are others.

    A layer is known by its weights: equal, or each row times a number of its own, as a batch norm
    that was folded into a convolution leaves it. Where several layers are alike, each gets the
    next in order, and one whose weight was exported several times gets all of these.

    Args:
        weights: `[rows, columns]` of each layer, by its name.
        exported: the layers of the ONNX model.

    Returns:
        By name, where the layer is in the export; nothing if it was not found.
    """
    samples = {name: _normalised(weight) for name, weight in weights.items()}
    found: dict[str, list[OnnxLayer]] = {name: [] for name in weights}
    for layer in exported:
        weight = matrix(layer)
        sample = _normalised(weight)
        alike = [
            name
            for name, own in samples.items()
            if weights[name].shape == weight.shape and _alike(own, sample)
        ]
        if alike:
            # The first of those that have been found least often.
            found[min(alike, key=lambda name: len(found[name]))].append(layer)
    return found


def _normalised(weight: Matrix) -> Matrix:
    """Return some rows of a weight at length 1."""
    step = max(1, len(weight) // _ROWS)
    rows = weight[::step]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), np.float32)


def _alike(one: Matrix, other: Matrix) -> bool:
    # A factor may be negative.
    signs = np.sign((one * other).sum(axis=1, keepdims=True))
    return bool(np.abs(one * np.where(signs == 0, 1, signs) - other).max(initial=0.0) < _SAME)
