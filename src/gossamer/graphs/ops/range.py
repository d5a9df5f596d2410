"""Range: numbers at equal distances."""

from __future__ import annotations

from gossamer.graphs.axes import made
from gossamer.graphs.dims import Size, UnknownSize
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Operation, content_of, dtype_of
from gossamer.graphs.operator import Operator, Typed


def _typed(node: Operation, inferred: Inferred) -> list[Typed]:
    (start,), (end,), (step,) = (content_of(value) for value in node.inputs)
    count: Size
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int) and step:
        count = len(range(start, end, step))
    elif step == 1:
        count = end - start
    else:
        raise UnknownSize("the length of a range depends on the input")
    return [(dtype_of(node.input(0)), (count,))]


OPERATORS = {"Range": Operator(_typed, made)}
