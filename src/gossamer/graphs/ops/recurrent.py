"""LSTM, GRU, RNN, Scan: step after step along a sequence."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, Product, labels, made
from gossamer.graphs.operation import Operation, fixed, known_shape, shape_of
from gossamer.graphs.operator import Operator


def _axes(node: Operation, opset: int) -> Axes:
    """A hidden element is one of the outputs of each gate, and an input of the next step.

    Weights are `[directions, gates * hidden, inputs]`, with `layout` 1 the batch comes first.
    """
    shape, weights = shape_of(node.input(0)), shape_of(node.input(1))
    by_batch = bool(node.attributes.get("layout", 0))
    directions, rows = fixed(weights[:2])
    (size,) = fixed(shape_of(node.input(2))[2:])
    both, gates, hidden = labels([directions, rows // size, size])
    first, second, given = labels(shape)
    batch, steps = (first, second) if by_batch else (second, first)

    def state() -> tuple[Product, ...]:
        return (batch, both, hidden) if by_batch else (both, batch, hidden)

    (twice,) = labels([2])
    inputs = (
        (first, second, given),
        (both, (*gates, *hidden), given),
        (both, (*gates, *hidden), hidden),
        (both, (*twice, *gates, *hidden)),
        (batch,),
        state(),
        state(),
        None,
    )
    every = (batch, steps, both, hidden) if by_batch else (steps, both, batch, hidden)
    outputs = (every, state(), state())
    taken = [
        axes if known_shape(value) is not None else None
        for axes, value in zip(inputs, node.inputs, strict=False)
    ]
    return Axes(
        tuple(taken),
        outputs[: len(node.outputs)],
        opaque=frozenset((*steps, *twice, *both, *gates)),
    )


OPERATORS = {
    **{name: Operator(axes=_axes) for name in ("LSTM", "GRU", "RNN")},
    "Scan": Operator(axes=made),
}
