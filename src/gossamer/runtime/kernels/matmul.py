"""Products of computed matrices, batch by batch, over plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from gossamer.runtime.codegen.builder import (
    I32,
    LANES,
    VEC,
    VEC_I32,
    Builder,
    Term,
    Variable,
    write_kernel,
)
from gossamer.runtime.codegen.target import Target

PANEL = 64
"""Columns of the right matrix that are copied together, so that they lie side by side."""
CHUNK = 96
"""Rows of the left matrix that a thread takes on at a time; a multiple of a block of rows."""


@dataclass(frozen=True)
class MatMul:
    """The kernel: each row of the left matrix is broadcast against a panel of the right one.

    The panel is copied once for all rows that a thread multiplies it with, as in Goto & van de
    Geijn (2008, section 4); a block of rows keeps its sums in registers.

    Arguments: left, right, output, scratch, bytes of scratch a thread, rows, inner size, columns,
    and for each axis of the batch its size and the step in matrices of the left and of the right
    operand, 0 where an operand is shared along it.
    """

    axes: int
    """Axes of the batch."""

    def source(self, target: Target) -> str:
        """The LLVM module."""
        wide = target.registers >= 32
        block, together = (6, 4) if wide else (2, 2)

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            _Writer(b, arguments, self.axes, block, together).write(thread, threads)

        return write_kernel(body, 8 + 3 * self.axes)


class _Writer:
    """Writes the kernel's body; holds what its parts share."""

    def __init__(
        self, b: Builder, arguments: Sequence[Term], axes: int, block: int, together: int
    ) -> None:
        self.b, self.block, self.together = b, block, together
        self.left, self.right, self.output, self.scratch = map(b.pointer, arguments[:4])
        self.scratch_size, self.rows, self.inner, self.columns = arguments[4:8]
        batch = arguments[8:]
        self.sizes, self.left_steps, self.right_steps = (
            batch[part * axes : (part + 1) * axes] for part in range(3)
        )

    def write(self, thread: Term, threads: Term) -> None:
        b = self.b
        matrices = b.i64(1)
        for size in self.sizes:
            matrices = matrices * size
        panels = (self.columns + PANEL - 1) // PANEL
        chunks = (self.rows + CHUNK - 1) // CHUNK
        packed = b.at(self.scratch, thread * (self.scratch_size // 4))
        held = b.variable(b.i64(-1))
        low, high = b.share(matrices * panels * chunks, thread, threads)
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
            output = b.at(self.output, matrix * self.rows * self.columns + first)
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
            b.at(self.left, left * self.rows * self.inner),
            b.at(self.right, right * self.inner * self.columns),
        )

    def _pack(self, source: Term, packed: Term, count: Term) -> None:
        """Copy a panel; columns beyond the last become zeros."""
        b = self.b
        with b.loop(0, self.inner) as row:
            line, place = b.at(source, row * self.columns), b.at(packed, row * PANEL)
            with b.loop(0, PANEL // LANES) as group:
                rest = count - group * LANES
                with b.when(rest > 0):
                    value = self._masked_load(b.at(line, group * LANES), rest)
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
                self._masked_store(part.get(), place, count - column)

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

    def _mask(self, count: Term) -> Term:
        """Which lanes are among the first `count`."""
        b = self.b
        numbers = Term(b, ir.Constant(VEC_I32, [ir.Constant(I32, i) for i in range(LANES)]))
        return numbers < b.splat(b.cast(b.smaller(count, LANES), I32), VEC_I32)

    def _masked_load(self, address: Term, count: Term) -> Term:
        b = self.b
        name = f"llvm.masked.load.v{LANES}f32.p0"
        zero, align = b.number(VEC, 0), b.number(I32, 4)
        return b.call(name, VEC, address, align, self._mask(count), zero)

    def _masked_store(self, value: Term, address: Term, count: Term) -> None:
        b = self.b
        name = f"llvm.masked.store.v{LANES}f32.p0"
        b.call(name, ir.VoidType(), value, address, b.number(I32, 4), self._mask(count))
