"""Zeros put around an image before a convolution are the convolution's own padding."""

from __future__ import annotations

from gossamer.graphs.dims import UnknownSize
from gossamer.graphs.operation import fixed
from gossamer.graphs.ops.pad import pads_of
from gossamer.runtime.graph import Graph, Node, scalar
from gossamer.runtime.onnx_import import follows_rule


def fold_padding(graph: Graph) -> None:
    """Let each Conv pad as the Pad before it does, and drop each Pad that adds nothing."""
    for node in list(graph.nodes):
        if node.is_a("Pad") and node.source(0).known and follows_rule(node):
            _fold(graph, node)


def _fold(graph: Graph, pad: Node) -> None:
    try:
        before, after = (fixed(sizes) for sizes in pads_of(pad))
    except UnknownSize:
        return
    if not any((*before, *after)):
        graph.substitute(pad, pad.source(0))
        return
    if not _is_zero(pad) or any((*before[:2], *after[:2])) or min((*before, *after)) < 0:
        return
    more = (*before[2:], *after[2:])
    users = set(graph.takers(pad.output))
    if pad.output in graph.outputs or not all(_can_pad(node, pad, len(more)) for node in users):
        return
    for conv in users:
        none = conv.attributes.pop("auto_pad", "NOTSET") == "VALID"
        given = [0] * len(more) if none else conv.attributes.get("pads", [0] * len(more))
        conv.attributes["pads"] = [one + other for one, other in zip(given, more, strict=True)]
        conv.inputs[0] = pad.source(0)


def _can_pad(node: Node, pad: Node, pads: int) -> bool:
    if not node.is_a("Conv") or node.source(0) is not pad.output:
        return False
    if len(node.attributes.get("pads", [0] * pads)) != pads:
        return False
    return node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")


def _is_zero(pad: Node) -> bool:
    if pad.attributes.get("mode", "constant") != "constant":
        return False
    given = pad.input(2)
    return (scalar(given) if given is not None else pad.attributes.get("value", 0.0)) == 0
