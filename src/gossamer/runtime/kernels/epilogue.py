"""What a kernel does to an output before it stores it: activations, and sums with other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.codegen.math import ACTIVATIONS

Step: TypeAlias = "str | tuple[str, *tuple[float, ...]]"
"""`Add` (the next operand), an activation's name, or a name and the activation's numbers."""


@dataclass(frozen=True)
class Epilogue:
    """Steps in order."""

    steps: tuple[Step, ...] = ()

    @property
    def operands(self) -> list[str]:
        """The names of the arguments that are the other values that the steps take."""
        return [f"operand{number}" for number in range(self.steps.count("Add"))]

    def apply(self, b: Builder, value: Term, operands: Sequence[Term]) -> Term:
        """The finished output."""
        rest = iter(operands)
        for step in self.steps:
            name, *numbers = (step,) if isinstance(step, str) else step
            if name == "Add":
                value = value + next(rest)
            else:
                value = ACTIVATIONS[str(name)](b, value, *numbers)
        return value
