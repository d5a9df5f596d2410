"""Dense weights times rows of activations as they are: for classifiers and perceptrons.

Where each sample is one row `[samples, columns]`, a batch of one would fill a single lane of a
tile. Here lanes are outputs, so that one sample already uses all of them, and nothing is copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.graphs.dims import ceiling
from gossamer.runtime.codegen.builder import LANES, VEC, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.signature import Input, Output, Signature, symbols

_VECTORS = 4
OUTPUTS = _VECTORS * LANES
"""Outputs that a block of weights makes."""


def samples_in_block(target: Target) -> int:
    """Samples whose sums stay in registers together."""
    return 6 if target.registers >= 32 else 1


@dataclass(frozen=True)
class DensePlain:
    """The kernel, for one way of finishing each output before it is stored."""

    epilogue: Epilogue

    @property
    def signature(self) -> Signature:
        """What it takes: weights as `dense_rows.pack` arranges them in blocks of `OUTPUTS` rows,
        and numbers that their sums begin with, filled up likewise."""
        samples, columns, rows = numbers = symbols("samples", "columns", "rows")
        filled = ceiling(rows, OUTPUTS) * OUTPUTS
        pointers = (
            Input("x", "float32", samples * columns),
            Output("y", "float32", samples * rows),
            Input("bias", "float32", filled),
            Input("weights", "float32", filled * columns),
            *(Input(name, "float32", samples * rows) for name in self.epilogue.operands),
        )
        return Signature("DensePlain", pointers, numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        together = samples_in_block(b.target)
        x, y, bias, weights = b.arguments("x", "y", "bias", "weights")
        samples, columns, rows = b.arguments("samples", "columns", "rows")
        operands = b.arguments(*self.epilogue.operands)
        blocks = (rows + OUTPUTS - 1) // OUTPUTS
        parts = (samples + together - 1) // together
        low, high = b.own_share(blocks * parts)
        with b.loop(low, high) as item:
            block, first = item // parts, item % parts * together
            row = block * OUTPUTS
            packed = b.at(weights, row * columns)

            def some(
                count: int, first: Term = first, row: Term = row, packed: Term = packed
            ) -> None:
                zero = b.number(VEC, 0)
                sums = [[b.variable(zero) for _ in range(_VECTORS)] for _ in range(count)]
                inputs = [b.at(x, (first + index) * columns) for index in range(count)]
                with b.loop(0, columns) as column:
                    place = b.at(packed, column * OUTPUTS)
                    vectors = [
                        b.load(b.at(place, vector * LANES), VEC, align=64)
                        for vector in range(_VECTORS)
                    ]
                    for line, input_ in zip(sums, inputs, strict=True):
                        number = b.splat(b.load(b.at(input_, column)))
                        for part, weight in zip(line, vectors, strict=True):
                            part.set(b.fma(number, weight, part.get()))
                for index, line in enumerate(sums):
                    for vector, part in enumerate(line):
                        output = row + vector * LANES
                        position, left = (first + index) * rows + output, rows - output
                        value = part.get() + b.load(b.at(bias, output), VEC, align=64)
                        others = [b.load_some(b.at(other, position), left) for other in operands]
                        value = self.epilogue.apply(b, value, others)
                        b.store_some(value, b.at(y, position), left)

            b.switch(b.smaller(samples - first, together), together, some)
