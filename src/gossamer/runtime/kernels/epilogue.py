"""What a kernel does to an output before it stores it: activations, and sums with other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import Builder, Term
from gossamer.runtime.codegen.math import ACTIVATIONS


@dataclass(frozen=True)
class Epilogue:
    """Steps in order, each `Add` (the next operand) or the name of an activation."""

    steps: tuple[str, ...] = ()

    @property
    def operands(self) -> int:
        """How many other values the steps take."""
        return self.steps.count("Add")

    def apply(self, b: Builder, value: Term, operands: Sequence[Term]) -> Term:
        """The finished output."""
        rest = iter(operands)
        for step in self.steps:
            value = value + next(rest) if step == "Add" else ACTIVATIONS[step](b, value)
        return value
