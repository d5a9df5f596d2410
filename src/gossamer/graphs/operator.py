"""What is known of an operator: the facts that `graphs/ops/` collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.axes import Axes
from gossamer.graphs.dims import Size
from gossamer.graphs.inferred import Inferred
from gossamer.graphs.operation import Array, Operation, Shape

Typed: TypeAlias = tuple[np.dtype[Any], Shape]
Content: TypeAlias = NDArray[np.object_]


@dataclass(frozen=True)
class Operator:
    """What an operator is. A part is None where nothing is known of it.

    Every rule takes a node whose inputs' types and shapes are known as far as they can be, and
    raises `UnknownSize` where what it says depends on numbers that only a run can know.
    """

    typed: Callable[[Operation, Inferred], list[Typed]] | None = None
    """Types and shapes of the outputs."""
    axes: Callable[[Operation, int], Axes] | None = None
    """How the axes of inputs and outputs correspond, in an operator set."""
    content: Callable[[Operation, Inferred], Content | None] | None = None
    """The elements of a small integer output, as numbers or sizes, where every input holds such."""
    exact: Callable[[Operation, Inferred], list[Array]] | None = None
    """The outputs for constants, by NumPy: only where all implementations must give these bits."""
    work: Callable[[Operation], Size] | None = None
    """Multiply-adds; None for what multiplies no matrices."""
    is_view: bool = False
    """Whether it gives no more than it takes, and mostly where that lies."""
    is_random: bool = False
    """Whether what it gives is drawn anew each time: neither constant nor to be shared."""
