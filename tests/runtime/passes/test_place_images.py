"""Images lie in planes whose rows line up and whose zeros reach as far as any kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.kernels.planes import Geometry, meeting
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
        ("y = Conv<pads=[1, 1, 1, 1]>(x, three)", ["Rearrange", "Convolution"]),
        ("y = Conv<strides=[2, 2]>(x, three)", ["Rearrange", "Convolution"]),
        (
            "a = Conv(x, one)  b = Sqrt(a)  y = Conv<pads=[2, 2, 2, 2]>(b, five)",
            ["Rearrange", "Convolution", "Sqrt", "Surround", "Convolution"],
        ),
        (
            "a = Conv(x, one)  b = Relu(a)  y = MaxPool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(b)",
            ["Rearrange", "Convolution", "Surround", "MaxPool"],
        ),
        (
            "a = Conv(x, one)  y = MaxPool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(a)",
            ["Rearrange", "Convolution", "Rearrange", "MaxPool"],
        ),
        (
            "a = Conv(x, one)  y = GlobalAveragePool(a)",
            ["Rearrange", "Convolution", "GlobalAveragePool"],
        ),
    ],
)
def test_copies(after: Any, model: Any, nodes: str, ops: list[str]) -> None:
    assert [node.op for node in placed(after, model, nodes).nodes] == ops


def test_a_stride_reads_in_place_where_the_parts_fit(after: Any, model: Any) -> None:
    small = model(
        """(float[B, 4, 16, 16] x) => (float[B, C, H, W] y) {
            a = Conv(x, one)  y = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(a, three) }""",
        three=np.ones((4, 4, 3, 3)),
        one=np.ones((4, 4, 1, 1)),
    )
    graph = after(small, fuse_layers, partition, place_images)
    assert [node.op for node in graph.nodes] == [
        *("Rearrange", "Convolution", "Surround", "Convolution")
    ]


def test_one_by_one_with_a_stride_copies_only_what_it_reads(after: Any, model: Any) -> None:
    copied, layer = placed(after, model, "y = Conv<strides=[2, 2]>(x, one)").nodes
    assert copied.output.shape == (*layer.output.shape[:1], 4, 5, 5)
    assert layer.attributes["strides"] == (1, 1)


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
    taps = layer.attributes["taps"]
    assert len(taps) == 25
    # It refuses what does not fit.
    Geometry(source, output, layer.attributes["strides"], taps)


def test_values_that_meet_are_cut_into_the_same_parts(after: Any, model: Any) -> None:
    graph = placed(
        after,
        model,
        "a = Conv<pads=[2, 2, 2, 2]>(x, five)  b = Conv(x, one)  c = Mul(a, b)  y = Conv(c, three)",
    )
    parts = {
        meeting(v.layout)
        for node in graph.nodes
        for v in node.outputs
        if isinstance(v.layout, Planes)
    }
    assert len(parts) == 1
