"""Zeros put around an image before a convolution are the convolution's own padding."""

from __future__ import annotations

from gossamer.runtime.dims import UnknownSize
from gossamer.runtime.graph import Graph, Node, scalar
from gossamer.runtime.movement_shapes import pads_of
from gossamer.runtime.shapes import fixed


def fold_padding(graph: Graph) -> None:
    """Let each Conv pad as the Pad before it does, and drop each Pad that adds nothing."""
    for node in graph.nodes:
        if node.op == "Pad" and not node.domain and node.source(0).known:
            _fold(graph, node)


def _fold(graph: Graph, pad: Node) -> None:
    try:
        before, after = (fixed(sizes) for sizes in pads_of(pad))
    except UnknownSize:
        return
    if not any((*before, *after)):
        graph.replace(pad.output, pad.source(0))
        return
    users = [node for node in graph.nodes if pad.output in node.inputs]
    if pad.output in graph.outputs or not all(_can_pad(node, pad) for node in users):
        return
    if not _is_zero(pad) or any((*before[:2], *after[:2])) or min((*before, *after)) < 0:
        return
    more = (*before[2:], *after[2:])
    for conv in users:
        none = conv.attributes.pop("auto_pad", "NOTSET") == "VALID"
        given = [0] * len(more) if none else conv.attributes.get("pads", [0] * len(more))
        conv.attributes["pads"] = [one + other for one, other in zip(given, more, strict=True)]
        conv.inputs[0] = pad.source(0)


def _can_pad(node: Node, pad: Node) -> bool:
    if node.op != "Conv" or node.domain or node.source(0) is not pad.output:
        return False
    return node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")


def _is_zero(pad: Node) -> bool:
    if pad.attributes.get("mode", "constant") != "constant":
        return False
    given = pad.input(2)
    return (scalar(given) if given is not None else pad.attributes.get("value", 0.0)) == 0
