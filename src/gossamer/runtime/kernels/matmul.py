"""Products of computed matrices, batch by batch, over plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.graphs.dims import Dim, Size, product
from gossamer.runtime.codegen.builder import LANES, VEC, Term, Variable
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.signature import Input, Output, Scratch, Signature, symbols

PANEL = 64
"""Columns of the right matrix that are copied together, so that they lie side by side."""
CHUNK = 96
"""Rows of the left matrix that a thread takes on at a time; a multiple of a block of rows."""
_OF_AXES = "size", "left_step", "right_step"


@dataclass(frozen=True)
class MatMul:
    """The kernel: each row of the left matrix is broadcast against a panel of the right one.

    The panel is copied once for all rows that a thread multiplies it with, as in Goto & van de
    Geijn (2008, section 4); a block of rows keeps its sums in registers.
    """

    axes: int
    """Axes of the batch."""

    @property
    def signature(self) -> Signature:
        """What it takes: for each axis of the batch its size, and the steps of the left and of the
        right operand in matrices, 0 where one is shared along it."""
        rows, inner, columns = symbols("rows", "inner", "columns")
        sizes, left, right = map(self.of_axes, _OF_AXES)

        def matrices(steps: Sequence[Dim]) -> Size:
            """One more than the number of the last matrix."""
            return 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))

        pointers = (
            Input("left", "float32", matrices(left) * rows * inner),
            Input("right", "float32", matrices(right) * inner * columns),
            Output("output", "float32", product(sizes) * rows * columns),
            Scratch("panel", "float32", inner * PANEL),
        )
        return Signature("MatMul", pointers, (rows, inner, columns, *sizes, *left, *right))

    def of_axes(self, name: str) -> tuple[Dim, ...]:
        """The numbers that there are one of for each axis of the batch."""
        return symbols(*(f"{name}{axis}" for axis in range(self.axes)))

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        _Writer(self, b).write()


class _Writer:
    """Writes the kernel's body; holds what its parts share."""

    def __init__(self, kernel: MatMul, b: KernelBuilder) -> None:
        self.b = b
        self.block, self.together = (6, 4) if b.target.registers >= 32 else (2, 2)
        self.rows, self.inner, self.columns = b.arguments("rows", "inner", "columns")
        self.sizes, self.left_steps, self.right_steps = (
            b.arguments(*map(str, kernel.of_axes(name))) for name in _OF_AXES
        )

    def write(self) -> None:
        b = self.b
        matrices = b.i64(1)
        for size in self.sizes:
            matrices = matrices * size
        panels = (self.columns + PANEL - 1) // PANEL
        chunks = (self.rows + CHUNK - 1) // CHUNK
        packed = b.argument("panel")
        held = b.variable(b.i64(-1))
        low, high = b.own_share(matrices * panels * chunks)
        with b.loop(low, high) as item:
            panel, chunk = item // chunks, item % chunks
            matrix, first = panel // panels, panel % panels * PANEL
            left, right = self._operands(matrix)
            count = b.smaller(self.columns - first, PANEL)
            with b.when(held.get().compare("!=", panel)):
                self._pack(b.at(right, first), packed, count)
                held.set(panel)
            begin = chunk * CHUNK
            end = b.smaller(self.rows, begin + CHUNK)
            whole = begin + (end - begin) // self.block * self.block
            output = b.at(b.argument("output"), matrix * self.rows * self.columns + first)
            with b.loop(begin, whole, self.block) as row:
                self._block(left, packed, output, row, count, self.block)
            with b.loop(whole, end) as row:
                self._block(left, packed, output, row, count, 1)

    def _operands(self, matrix: Term) -> tuple[Term, Term]:
        """The matrices that meet, of operands that may be shared along axes of the batch."""
        b = self.b
        left, right = b.i64(0), b.i64(0)
        axes = list(zip(self.sizes, self.left_steps, self.right_steps, strict=True))
        for size, left_step, right_step in reversed(axes):
            left = left + matrix % size * left_step
            right = right + matrix % size * right_step
            matrix = matrix // size
        return (
            b.at(b.argument("left"), left * self.rows * self.inner),
            b.at(b.argument("right"), right * self.inner * self.columns),
        )

    def _pack(self, source: Term, packed: Term, count: Term) -> None:
        """Copy a panel; columns beyond the last become zeros."""
        b = self.b
        with b.loop(0, self.inner) as row:
            line, place = b.at(source, row * self.columns), b.at(packed, row * PANEL)
            with b.loop(0, PANEL // LANES) as group:
                rest = count - group * LANES
                with b.when(rest > 0):
                    value = b.load_some(b.at(line, group * LANES), rest)
                    b.store(value, b.at(place, group * LANES), align=64)

    def _block(
        self, left: Term, packed: Term, output: Term, row: Term, count: Term, rows: int
    ) -> None:
        """The outputs of some rows and all columns of a panel."""
        b, step = self.b, self.together * LANES
        whole = count // step * step
        with b.loop(0, whole, step) as column:
            sums = self._multiply(left, b.at(packed, column), row, rows, self.together)
            for index, line in enumerate(sums):
                place = b.at(output, (row + index) * self.columns + column)
                for group, part in enumerate(line):
                    b.store(part.get(), b.at(place, group * LANES))
        with b.loop(whole, count, LANES) as column:
            sums = self._multiply(left, b.at(packed, column), row, rows, 1)
            for index, (part,) in enumerate(sums):
                place = b.at(output, (row + index) * self.columns + column)
                b.store_some(part.get(), place, count - column)

    def _multiply(
        self, left: Term, packed: Term, row: Term, rows: int, groups: int
    ) -> list[list[Variable]]:
        b = self.b
        sums = [[b.variable(b.number(VEC, 0)) for _ in range(groups)] for _ in range(rows)]
        lines = [b.at(left, (row + index) * self.inner) for index in range(rows)]
        with b.loop(0, self.inner) as step:
            source = b.at(packed, step * PANEL)
            vectors = [b.load(b.at(source, g * LANES), VEC, align=64) for g in range(groups)]
            for address, line in zip(lines, sums, strict=True):
                factor = b.splat(b.load(b.at(address, step)))
                for part, vector in zip(line, vectors, strict=True):
                    part.set(b.fma(factor, vector, part.get()))
        return sums
