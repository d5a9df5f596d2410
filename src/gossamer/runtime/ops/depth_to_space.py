"""DepthToSpace, SpaceToDepth: channels as pixels, and pixels as channels."""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.operation import shape_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import Native


def _depth_to_space(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    batch, _, height, width = shape_of(x)
    _, channels, high, wide = shape_of(node.output)
    block = node.attributes["blocksize"]
    if node.attributes.get("mode", "DCR") == "DCR":
        split = e.reshaped(x, [batch, block, block, channels, height, width])
        moved = e("Transpose", split, perm=[0, 3, 4, 1, 5, 2])
    else:
        split = e.reshaped(x, [batch, channels, block, block, height, width])
        moved = e("Transpose", split, perm=[0, 1, 4, 2, 5, 3])
    return [e.reshaped(moved, [batch, channels, high, wide])]


def _space_to_depth(e: Expansion, node: Node) -> Sequence[Value]:
    x = node.source(0)
    batch, channels, _, _ = shape_of(x)
    _, _, height, width = shape_of(node.output)
    block = node.attributes["blocksize"]
    split = e.reshaped(x, [batch, channels, height, block, width, block])
    by_column = node.attributes.get("mode", "DCR") == "CRD"
    moved = e("Transpose", split, perm=[0, 1, 3, 5, 2, 4] if by_column else [0, 3, 5, 1, 2, 4])
    return [e.reshaped(moved, shape_of(node.output))]


NATIVE = {
    "DepthToSpace": Native(expand=_depth_to_space),
    "SpaceToDepth": Native(expand=_space_to_depth),
}
