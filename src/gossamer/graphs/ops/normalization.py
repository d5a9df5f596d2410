"""Normalisations: of a batch, of channels or groups of them, of rows, along axes."""

from __future__ import annotations

from gossamer.graphs.axes import Axes, aligned, labels, labels_of, mixing
from gossamer.graphs.dims import Misfit, Size, divide
from gossamer.graphs.elementwise import same
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operand, Operation, Shape, dtype_of, known_shape, shape_of
from gossamer.graphs.operator import Operator, Typed


def _by_channel(node: Operation, inferred: Inferred) -> list[Typed]:
    """The first input's, where the others may have an element a channel."""
    shape = shape_of(node.input(0))
    groups = node.attributes.get("num_groups")
    for channels in shape[1:2]:
        if groups is not None and isinstance(channels, int):
            divide(channels, groups)
        for value in node.inputs[1:]:
            for size in _vector(value):
                # Or one a group, before operator set 21.
                if size != groups:
                    _must_fit(size, channels)
    return [(dtype_of(node.input(0)), shape)]


def _vector(value: Operand | None) -> Shape:
    """The size of what has one axis; nothing for what has others."""
    shape = known_shape(value) or ()
    return shape if len(shape) == 1 else ()


def _must_fit(left: Size, right: Size) -> None:
    """Refuse two numbers that differ."""
    if isinstance(left, int) and isinstance(right, int) and left != right:
        raise Misfit(f"sizes {left} and {right} differ")


def by_running_statistics(node: Operation, opset: int) -> bool:
    """Whether a BatchNormalization takes the mean and variance of each channel that it is given.

    In training mode (`training_mode`; before operator set 14 told by further outputs, before 7 by
    `is_test` being 0) it takes the batch's own, and with `spatial` 0 it has some for each pixel.
    """
    given = node.attributes
    training = given.get("training_mode", 0) or len(node.outputs) > 1
    tested = opset >= 7 or given.get("is_test", 0) == 1
    return bool(tested and not training and given.get("spatial", 1) == 1)


def _batch_axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    channels = given[1:2]
    trains = node.attributes.get("training_mode", 0) or len(node.outputs) > 1
    others = labels_of((*given[:1], *given[2:])) if trains else frozenset()
    rest = [channels] * (len(node.inputs) - 1)
    return Axes((given, *rest), (given, *[channels] * (len(node.outputs) - 1)), mixed=others)


def _instance_axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    rest = [given[1:2]] * (len(node.inputs) - 1)
    return Axes((given, *rest), (given,), mixed=labels_of(given[2:]))


def _group_axes(node: Operation, opset: int) -> Axes:
    shape = shape_of(node.input(0))
    batch, *pixels = labels((shape[0], *shape[2:]))
    groups = node.attributes["num_groups"]
    group, each = labels([groups, divide(shape[1], groups)])
    given = (batch, (*group, *each), *pixels)
    # Before operator set 21 a scale a group.
    scale = ((*group, *each),) if opset >= 21 else (group,)
    mixed = labels_of((each, *pixels))
    return Axes((given, *[scale] * (len(node.inputs) - 1)), (given,), mixed=mixed)


def _by_row(node: Operation, inferred: Inferred) -> list[Typed]:
    """The first input's, where the others may broadcast to its last axes."""
    shape = shape_of(node.input(0))
    for value in node.inputs[1:]:
        for size, whole in zip(reversed(known_shape(value) or ()), reversed(shape), strict=False):
            if size != 1:
                _must_fit(size, whole)
    return [(dtype_of(node.input(0)), shape)]


def _layer_axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    axis = node.attributes.get("axis", -1) % len(given)
    scales = [aligned(known_shape(value), given) for value in node.inputs[1:]]
    told = (*given[:axis], *[()] * (len(given) - axis))
    return Axes(
        (given, *scales),
        (given, *[told] * (len(node.outputs) - 1)),
        mixed=labels_of(given[axis:]),
    )


def _lp_axes(node: Operation, opset: int) -> Axes:
    return mixing(node, [node.attributes.get("axis", -1)])


def _mean_variance_axes(node: Operation, opset: int) -> Axes:
    return mixing(node, node.attributes.get("axes", (0, 2, 3)))


def _response_axes(node: Operation, opset: int) -> Axes:
    given = labels(shape_of(node.input(0)))
    return Axes((given,), (given,), opaque=labels_of(given[1:2]))


OPERATORS = {
    "BatchNormalization": Operator(_by_channel, _batch_axes),
    "InstanceNormalization": Operator(_by_channel, _instance_axes),
    "GroupNormalization": Operator(_by_channel, _group_axes),
    "LayerNormalization": Operator(_by_row, _layer_axes),
    "RMSNormalization": Operator(_by_row, _layer_axes),
    "LpNormalization": Operator(same, _lp_axes),
    "MeanVarianceNormalization": Operator(same, _mean_variance_axes),
    "LRN": Operator(same, _response_axes),
}
