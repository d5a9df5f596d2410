"""Passes over the graph, one file each, in the order in which they run."""

from __future__ import annotations

from gossamer.runtime.graph import Graph
from gossamer.runtime.passes.clean import clean
from gossamer.runtime.passes.expand import expand
from gossamer.runtime.passes.fold_batch_norm import fold_batch_norm
from gossamer.runtime.passes.fold_padding import fold_padding
from gossamer.runtime.passes.fuse_attention import fuse_attention
from gossamer.runtime.passes.fuse_gelu import fuse_gelu
from gossamer.runtime.passes.fuse_layer_norm import fuse_layer_norm
from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.fuse_swish import fuse_swish
from gossamer.runtime.passes.mean_as_pooling import mean_as_pooling
from gossamer.runtime.passes.share import share

FUSIONS = (
    clean,
    share,
    mean_as_pooling,
    fold_batch_norm,
    fold_padding,
    fuse_gelu,
    fuse_swish,
    fuse_layer_norm,
    expand,
    fuse_layers,
    fuse_attention,
)


def optimize(graph: Graph) -> None:
    """Apply every fusion, in place."""
    for apply in FUSIONS:
        apply(graph)
        graph.drop_unused()
