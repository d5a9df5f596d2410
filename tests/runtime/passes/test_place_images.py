"""Images lie in planes whose rows line up and whose zeros reach as far as any kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.kernels.sparse_conv import Tap, check
from gossamer.runtime.layouts import Planes
from gossamer.runtime.passes.fuse_layers import fuse_layers
from gossamer.runtime.passes.partition import partition
from gossamer.runtime.passes.place_images import place_images


def placed(after: Any, model: Any, nodes: str) -> Any:
    small = model(
        f"(float[B, 4, 10, 9] x) => (float[B, C, H, W] y) {{ {nodes} }}",
        three=np.ones((4, 4, 3, 3)),
        five=np.ones((4, 4, 5, 5)),
        one=np.ones((4, 4, 1, 1)),
    )
    return after(small, fuse_layers, partition, place_images)


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("y = Conv<pads=[1, 1, 1, 1]>(x, three)", ["Identity", "Convolution"]),
        ("y = Conv<strides=[2, 2]>(x, three)", ["Phases", "Convolution"]),
        (
            "a = Conv(x, one)  b = Sqrt(a)  y = Conv<pads=[2, 2, 2, 2]>(b, five)",
            ["Identity", "Convolution", "Sqrt", "Convolution"],
        ),
        (
            "a = Conv(x, one)  y = MaxPool<kernel_shape=[2, 2]>(a)",
            ["Identity", "Convolution", "Phases", "MaxPool"],
        ),
        (
            "a = Conv(x, one)  y = GlobalAveragePool(a)",
            ["Identity", "Convolution", "GlobalAveragePool"],
        ),
    ],
)
def test_copies(after: Any, model: Any, nodes: str, ops: list[str]) -> None:
    assert [node.op for node in placed(after, model, nodes).nodes] == ops


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [2, 2, 2, 2], [0, 1, 2, 0]])
@pytest.mark.parametrize("dilation", [1, 2])
def test_every_tap_stays_in_its_plane(
    after: Any, model: Any, stride: int, pads: list[int], dilation: int
) -> None:
    attributes = f"strides=[{stride}, {stride}], pads={pads}, dilations=[{dilation}, {dilation}]"
    (layer,) = [
        node
        for node in placed(after, model, f"y = Conv<{attributes}>(x, five)").nodes
        if node.op == "Convolution"
    ]
    source, output = layer.source(0).layout, layer.output.layout
    assert isinstance(source, Planes)
    assert isinstance(output, Planes)
    assert layer.attributes["phases"] == stride**2
    assert len(layer.attributes["taps"]) == 25
    check([Tap(*tap) for tap in layer.attributes["taps"]], source, output)


def test_values_that_meet_have_rows_of_one_length(after: Any, model: Any) -> None:
    graph = placed(
        after,
        model,
        "a = Conv<pads=[2, 2, 2, 2]>(x, five)  b = Conv(x, one)  c = Mul(a, b)  y = Conv(c, three)",
    )
    rows = {v.layout.row for node in graph.nodes for v in node.outputs}
    assert len(rows) == 1
