"""Integer tensors that hold sizes are followed through the operators that compute shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.graphs.dims import Dim

B, S = Dim.symbol("B"), Dim.symbol("S")


def content(after: Any, model: Any, nodes: str, **constants: Any) -> Any:
    """What is known of y, made from the shape of x [B, S, 6]."""
    graph = after(
        model(
            f"(float[B, S, 6] x) => (int64[N] y) {{ shape = Shape(x)  {nodes} }}",
            **{k: np.asarray(v) for k, v in constants.items()},
        )
    )
    (output,) = graph.outputs
    return None if output.content is None else output.content.tolist()


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        ("y = Identity(shape)", {}, [B, S, 6]),
        ("y = Shape<start=1, end=2>(x)", {}, [S]),
        ("y = Shape<start=-2>(x)", {}, [S, 6]),
        ("y = Gather(shape, i)", {"i": [1, -1, 0]}, [S, 6, B]),
        ("y = Slice(shape, i, j)", {"i": [0], "j": [2]}, [B, S]),
        ("y = Slice(shape, i, j, k, m)", {"i": [2], "j": [-9], "k": [0], "m": [-1]}, [6, S, B]),
        ("y = Concat<axis=0>(shape, i)", {"i": [4]}, [B, S, 6, 4]),
        ("y = Add(shape, i)", {"i": [1]}, [B + 1, S + 1, 7]),
        ("y = Sub(shape, i)", {"i": [1]}, [B - 1, S - 1, 5]),
        ("y = Mul(shape, shape)", {}, [B * B, S * S, 36]),
        ("a = Mul(shape, i)  y = Div(a, i)", {"i": [4]}, [B, S, 6]),
        ("a = Cast<to=6>(shape)  y = Cast<to=7>(a)", {}, [B, S, 6]),
        ("a = Cast<to=9>(shape)  y = Where(a, i, shape)", {"i": [3]}, [3, 3, 3]),
        ("a = Unsqueeze(shape, i)  y = Squeeze(a, i)", {"i": [0]}, [B, S, 6]),
        ("y = ReduceProd<keepdims=1>(shape)", {}, [B * S * 6]),
        (
            "a = ConstantOfShape<value = int64[1] {3}>(i)  y = Mul(a, shape)",
            {"i": [3]},
            [3 * B, 3 * S, 18],
        ),
        ("a = Equal(shape, i)  y = Where(a, j, shape)", {"i": [-1], "j": [1]}, [B, S, 6]),
        ("a = Equal(shape, shape)  y = Where(a, j, shape)", {"j": [1]}, [1, 1, 1]),
        ("a = Gather(shape, i)  y = Expand(a, j)", {"i": [1], "j": [2]}, [S, S]),
    ],
)
def test_shapes_are_followed(
    after: Any, model: Any, nodes: str, constants: dict[str, Any], expected: list[Any]
) -> None:
    assert content(after, model, nodes, **constants) == expected


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        # S may be 1, and B may be S.
        ("a = Equal(shape, i)  y = Where(a, j, shape)", {"i": [1], "j": [5]}),
        ("y = Div(shape, i)", {"i": [4]}),
        ("y = Div(i, j)", {"i": [7], "j": [0]}),
        ("y = Gather(shape, i)", {"i": [3]}),
        # S - 1 may be 0.
        ("a = Sub(shape, i)  b = Cast<to=9>(a)  y = Where(b, i, shape)", {"i": [1]}),
        ("a = Cast<to=3>(shape)  y = Cast<to=7>(a)", {}),
    ],
)
def test_what_depends_on_the_input_is_not_claimed(
    after: Any, model: Any, nodes: str, constants: dict[str, Any]
) -> None:
    assert content(after, model, nodes, **constants) is None


def test_what_does_not_depend_on_the_input_is_constant(after: Any, model: Any) -> None:
    graph = after(
        model(
            """(float[B, S, 6] x) => (int64[1] y, int64[1] z) {
                shape = Shape(x)  y = Gather(shape, i)  z = Div(a, b) }""",
            i=np.array([2]),
            a=np.array([-7]),
            b=np.array([2]),
        )
    )
    y, z = (output.data for output in graph.outputs)
    assert y == [6]
    # Rounded towards zero, as ONNX says.
    assert z == [-3]
    assert not graph.nodes
