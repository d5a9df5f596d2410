"""Convolutions and pooling as what each tap of their windows reads.

That is an axis (`Windows`, never stored by itself): pooling then folds it, and a convolution is a
product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossamer.graphs.dims import Size, UnknownSize, product
from gossamer.graphs.operation import fixed, shape_of
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.layouts import Planes


def read_windows(
    e: Expansion,
    x: Value,
    kernel: Sequence[int],
    out: Sequence[Size],
    steps: tuple[Sequence[int], Sequence[int], Sequence[int]],
    fill: float = 0.0,
    holes: Sequence[int] | None = None,
) -> Value:
    """`[batch, channel, *taps, *places]` of `x`; steps are strides, dilations, pads before.

    With holes, the input is read as if so many less one zeros lay after each element.
    """
    shape = shape_of(x)
    if not all(size > 0 for size in shape):
        raise UnknownSize("no lowering for windows over what is empty")
    strides, dilations, before = map(tuple, steps)
    return e.hidden(
        "Windows",
        x,
        (*shape[:2], *kernel, *out),
        strides=strides,
        dilations=dilations,
        before=before,
        holes=tuple(holes or [1] * len(kernel)),
        fill=fill,
    )


def multiplied(
    e: Expansion, node: Node, matrix: Value, windows: Value, out: Sequence[int]
) -> Value:
    """The product of weights `[group, outputs, inputs]` and what the windows read, and the bias."""
    group, rows, columns = fixed(shape_of(matrix))
    batch = shape_of(windows)[0]
    # Stored: the product reads each element many times.
    read = e.reshaped(windows, [batch, group, columns, product(out)])
    result = e.reshaped(e("MatMul", matrix, read), [batch, group * rows, *out])
    bias = node.input(2)
    if bias is None:
        return result
    return e("Add", result, e.reshaped(bias, [group * rows, *([1] * len(out))]))


def geometry_of(node: Node, operands: Sequence[Value] = ()) -> Geometry:
    """How the output of a window and what it reads lie."""
    source, output, *others = (value.layout for value in (node.source(0), node.output, *operands))
    assert isinstance(source, Planes) and isinstance(output, Planes)
    placed = tuple(layout for layout in others if isinstance(layout, Planes))
    return Geometry(source, output, node.attributes["strides"], node.attributes["taps"], placed)


def planes_of(value: Value) -> Size:
    """How many planes a value has."""
    return product(shape_of(value)[:2])
