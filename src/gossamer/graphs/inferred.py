"""What is found out about a model while the types and shapes of its values are inferred."""

from __future__ import annotations

from dataclasses import dataclass, field

from gossamer.graphs.dims import Misfit, Size, UnknownSize, equal, limit_below, solved
from gossamer.graphs.operation import Shape

# Beside sizes that only a run can know: what a rule meets in a broken node, which will be refused
# with its reason by ONNX Runtime.
NOT_INFERRED = (
    UnknownSize,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass
class Inferred:
    """What rules share: the model's operator set, and limits on the input's sizes found so far."""

    opset: int
    limits: list[tuple[Size, int]]
    may_fold: int = 16 << 20
    """Bytes of constants that may still be computed ahead; by default what one operator needs."""
    determined: dict[str, int | None] = field(default_factory=dict)
    """What open sizes must be, as it seems; None for one that would have to be two numbers."""
    may_limit: bool = True
    """Whether the input's sizes may be limited."""
    misfits: bool = False
    """Whether sizes were found that do not fit each other."""

    def same(self, left: Size, right: Size) -> None:
        """Hold two sizes equal; where that leaves an open size one number, take note of it.

        Raises:
            UnknownSize: if they are not equal whatever the input's sizes are; a `Misfit` if they
                never are.
        """
        if left == right:
            return
        found = solved(left, right)
        if found is not None:
            symbol, number = found
            if self.determined.setdefault(symbol, number) != number:
                self.determined[symbol] = None
        elif not equal(left, right):
            raise Misfit(f"sizes {left} and {right} differ")
        raise UnknownSize(f"sizes {left} and {right} may differ")

    def at_least(self, size: Size, least: int) -> None:
        """Limit the input's sizes to those for which a size is at least a number.

        Raises:
            UnknownSize: if it never is, or no limits may be set.
        """
        limit = limit_below(size, least)
        if limit is None:
            return
        if not self.may_limit:
            raise UnknownSize(f"whether {size} is {least} or more depends on the input")
        bounded, most = limit
        for position, (other, before) in enumerate(self.limits):
            if other == bounded:
                self.limits[position] = bounded, min(most, before)
                return
        self.limits.append(limit)

    def at_most(self, size: Size, most: int) -> None:
        """Limit the input's sizes to those for which a size is at most a number.

        Raises:
            UnknownSize: if it never is.
        """
        self.at_least(-size, -most)


def broadcast(inferred: Inferred, *shapes: Shape) -> Shape:
    """The shape that arrays of these shapes broadcast to (NumPy's rule).

    An open size that meets a number is likelier that number than 1.

    Raises:
        UnknownSize: where it depends on the input which size is 1.
    """
    rank = max(map(len, shapes))
    result: list[Size] = []
    padded = [(*[1] * (rank - len(shape)), *shape) for shape in shapes]
    for column in zip(*padded, strict=True):
        sizes = [size for size in column if size != 1]
        for size in sizes[1:]:
            inferred.same(sizes[0], size)
        result.append(sizes[0] if sizes else 1)
    return tuple(result)
