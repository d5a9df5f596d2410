"""What a compiled model consists of: calls of kernels with their arguments, views, constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gossamer.errors import DataError
from gossamer.graphs.dims import LARGEST, Size, number
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Value
from gossamer.runtime.memory import ConstantMemory
from gossamer.runtime.signature import Address, Argument


class Sizes:
    """The numbers that the symbols of the input's shapes stand for in a run."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = dict(values)

    def number(self, size: Size) -> int:
        """A size as a number.

        Raises:
            DataError: if it is beyond what a tensor of sizes can hold.
        """
        result = number(size, self.values)
        if result > LARGEST:
            raise DataError(f"inputs of these sizes make {size} too large; give smaller ones")
        return result

    def shape(self, value: Value) -> tuple[int, ...]:
        """A value's shape in numbers."""
        assert value.shape is not None
        return tuple(self.number(size) for size in value.shape)


@dataclass(eq=False)
class Call:
    """A kernel with its arguments."""

    kernel: str
    """What kind of kernel, for people to read."""
    address: int
    arguments: dict[str, Argument]
    """By name, in the order in which the kernel finds them in memory."""
    name: str
    op: str
    sparsity: float | None = None
    """Fraction of zeros among its weights, if it has any."""
    code: str = ""
    """What the machine code at the address depends on, in one word."""


@dataclass(eq=False)
class Alias:
    """A value that is another one's memory under another shape."""

    source: Value
    output: Value


Step: TypeAlias = "Call | Alias | FallbackRegion"


class Constants:
    """Where the constants lie that steps take, and the views of constants."""

    def __init__(self) -> None:
        self._memory = ConstantMemory()
        self._places: dict[Value, int] = {}

    def place(self, step: Step) -> None:
        """Copy the constants that a step takes to memory of the program's own."""
        if isinstance(step, Alias):
            self._copy(step.source)
            if step.source in self._places:
                self._places[step.output] = self._places[step.source]
        elif isinstance(step, Call):
            for name, argument in step.arguments.items():
                if isinstance(argument, np.ndarray):
                    step.arguments[name] = Address(self._memory.place(argument))
                elif isinstance(argument, Value):
                    self._copy(argument)
                    if argument in self._places:
                        step.arguments[name] = Address(self._places[argument])

    def address(self, value: Value) -> int | None:
        """Where a constant or a view of one lies; None for what a run computes."""
        return self._places.get(value)

    def _copy(self, value: Value) -> None:
        if value.data is not None and value not in self._places:
            self._places[value] = self._memory.place(value.data)
