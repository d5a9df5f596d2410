"""Shapes of outputs, as far as they follow from those of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.graphs.dims import Dim

B, S = Dim.symbol("B"), Dim.symbol("S")


def shape(after: Any, model: Any, nodes: str, **constants: Any) -> Any:
    """The shape of y, made from x [B, S, 6], image [B, 4, 9, 8] and ids [B, S]."""
    graph = after(
        model(
            f"""(float[B, S, 6] x, float[B, 4, 9, 8] image, int64[B, S] ids) => (float[N] y) {{
                {nodes} }}""",
            **constants,
        )
    )
    return graph.outputs[0].shape


ones = np.ones


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        ("y = Relu(x)", {}, (B, S, 6)),
        ("y = Add(x, c)", {"c": ones((3, 1, 1, 6))}, (3, B, S, 6)),
        ("y = Add(x, c)", {"c": ones((3, 6))}, (B, 3, 6)),
        ("y = Reshape(x, s)", {"s": np.array([0, 0, 2, -1])}, (B, S, 2, 3)),
        ("y = Reshape(x, s)", {"s": np.array([-1, 6])}, (B * S, 6)),
        ("y = Flatten<axis=2>(x)", {}, (B * S, 6)),
        ("y = Flatten<axis=-1>(x)", {}, (B * S, 6)),
        ("y = Transpose(x)", {}, (6, S, B)),
        ("y = Transpose<perm=[1, 0, 2]>(x)", {}, (S, B, 6)),
        ("y = Unsqueeze(x, a)", {"a": np.array([1, -1])}, (B, 1, S, 6, 1)),
        ("y = Expand(x, s)", {"s": np.array([2, 1, 1, 6])}, (2, B, S, 6)),
        ("y = Concat<axis=1>(x, x)", {}, (B, 2 * S, 6)),
        (
            "y = Slice(x, s, e, a)",
            {"s": np.array([1]), "e": np.array([-1]), "a": np.array([2])},
            (B, S, 4),
        ),
        (
            "y = Slice(x, s, e, a)",
            {"s": np.array([0]), "e": np.array([2**62]), "a": np.array([1])},
            (B, S, 6),
        ),
        ("y = Gather<axis=2>(x, i)", {"i": np.array(1)}, (B, S)),
        ("y = Gather(t, ids)", {"t": ones((10, 3))}, (B, S, 3)),
        ("y = MatMul(x, w)", {"w": ones((6, 2))}, (B, S, 2)),
        ("y = ReduceMean<axes=[-1], keepdims=0>(x)", {}, (B, S)),
        ("y = ReduceSum(x)", {}, (1, 1, 1)),
        (
            "y = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(image, w)",
            {"w": ones((5, 4, 3, 3))},
            (B, 5, 5, 4),
        ),
        (
            'y = Conv<strides=[2, 2], auto_pad="SAME_UPPER">(image, w)',
            {"w": ones((5, 4, 3, 3))},
            (B, 5, 5, 4),
        ),
        ("y = Conv<dilations=[2, 2], group=2>(image, w)", {"w": ones((6, 2, 3, 3))}, (B, 6, 5, 4)),
        ("y = MaxPool<kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1>(image)", {}, (B, 4, 5, 4)),
        ("y = GlobalAveragePool(image)", {}, (B, 4, 1, 1)),
        # No more than there is, where the stride is larger than the kernel.
        (
            'y = ConvTranspose<auto_pad="SAME_UPPER", strides=[2, 2]>(image, w)',
            {"w": ones((4, 5, 1, 2))},
            (B, 5, 17, 16),
        ),
    ],
)
def test_shapes_follow_from_the_input(
    after: Any, model: Any, nodes: str, constants: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert shape(after, model, nodes, **constants) == expected


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        # What only a run can know.
        ("y = Squeeze(x)", {}),
        ("y = Reshape(x, ids)", {}),
        ("y = Slice(x, s, e, a)", {"s": np.array([0]), "e": np.array([5]), "a": np.array([1])}),
        # What cannot be.
        ("y = Transpose<perm=[0, 0, 1]>(x)", {}),
        ("y = MatMul(x, w)", {"w": ones((5, 2))}),
        ("y = Conv(image, w)", {"w": ones((5, 3, 3, 3))}),
        ("y = Conv<group=2>(image, w)", {"w": ones((5, 2, 3, 3))}),
        ("y = Conv(image, w, b)", {"w": ones((5, 4, 3, 3)), "b": ones(4)}),
        ("y = Conv(image, w)", {"w": ones((5, 4, 10, 3))}),
        ("y = Conv<strides=[0, 1]>(image, w)", {"w": ones((5, 4, 3, 3))}),
        ('y = AveragePool<auto_pad="SAME_LOWER", kernel_shape=[2, 2], strides=[3, 3]>(image)', {}),
        ("y = MaxPool<kernel_shape=[2, 2], pads=[2, 0, 0, 0]>(image)", {}),
        ("y = ConvTranspose<output_padding=[1, 0]>(image, w)", {"w": ones((4, 5, 3, 3))}),
        ("y = ConvTranspose<output_shape=[99, 99]>(image, w)", {"w": ones((4, 5, 3, 3))}),
        ("y = Gather<axis=5>(x, ids)", {}),
        ("y = Reshape(x, s)", {"s": np.array([5, -1])}),
    ],
)
def test_what_does_not_follow_is_not_claimed(
    after: Any, model: Any, nodes: str, constants: dict[str, Any]
) -> None:
    assert shape(after, model, nodes, **constants) is None


def test_a_table_that_is_cut_at_the_length_limits_the_length(after: Any, model: Any) -> None:
    graph = after(
        model(
            """(int64[B, S] ids) => (float[S, 4] y) {
                shape = Shape<start=1>(ids)  y = Slice(table, zero, shape, zero) }""",
            table=ones((32, 4)),
            zero=np.array([0]),
        )
    )
    assert graph.outputs[0].shape == (S, 4)
    assert graph.limits == [(S, 32)]


def test_the_last_elements_limit_the_length_from_below(after: Any, model: Any) -> None:
    graph = after(
        model(
            "(float[B, S, 4] x) => (float[B, T, 4] y) { y = Slice(x, start, end, axis) }",
            start=np.array([-2]),
            end=np.array([2**63 - 1]),
            axis=np.array([1]),
        )
    )
    assert graph.outputs[0].shape == (B, 2, 4)
    assert graph.limits == [(-S, -2)]


def test_what_does_not_run_natively_limits_nothing(after: Any, model: Any) -> None:
    graph = after(
        model(
            "(float[B, S, 4] x) => (float[B, T, 4] y) { y = Slice(x, start, end, axis) }",
            start=np.array([-2, 0]),
            end=np.array([2**63 - 1, 2]),
            axis=np.array([1, 0]),
        )
    )
    assert graph.outputs[0].shape is None
    assert graph.limits == []
