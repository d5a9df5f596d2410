"""Fill the vectors around each plane's part proper with what neighbouring parts hold there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import LANES, VEC, Builder, Term, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.layouts import Planes


@dataclass(frozen=True)
class Surround:
    """The kernel; it changes an array in place. Arguments: the array, planes in all."""

    layout: Planes

    def source(self, target: Target) -> str:
        """The LLVM module."""
        del target
        return write_kernel(self._body, 2)

    def _body(self, b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
        layout = self.layout
        rows = _spans(layout.above, layout.down, layout.below)
        columns = _spans(layout.left, layout.across, layout.right)
        low, high = b.share(arguments[1], thread, threads)
        with b.loop(low, high) as number:
            plane = b.at(b.pointer(arguments[0]), number * layout.plane)
            for down, row, row_end in rows:
                for right, column, column_end in columns:
                    if down or right:
                        self._fill(b, plane, (down, row, row_end), (right, column, column_end))

    def _fill(
        self, b: Builder, plane: Term, rows: tuple[int, int, int], columns: tuple[int, int, int]
    ) -> None:
        """Vectors whose pixels belong to the part so many further down and to the right."""
        layout = self.layout
        (down, row, row_end), (right, column, column_end) = rows, columns
        lanes = []
        for lane in range(LANES):
            i, j = lane // layout.columns + down, lane % layout.columns + right
            inside = 0 <= i < layout.rows and 0 <= j < layout.columns
            # Beyond the vector's own lanes lies a vector of zeros.
            lanes.append(i * layout.columns + j if inside else LANES)
        distance = (down * layout.down * layout.pitch + right * layout.across) * LANES
        with b.loop(row, row_end) as t, b.loop(column, column_end) as s:
            place = b.at(plane, layout.place(0, 0) + (t * layout.pitch + s) * LANES)
            value = b.load(b.at(place, -distance), VEC, align=64)
            b.store(b.shuffle(value, b.number(VEC, 0), lanes), place, align=64)


def _spans(before: int, size: int, after: int) -> list[tuple[int, int, int]]:
    """Positions from `-before` to `size + after`, by how many parts further on they lie."""
    found = []
    for part in range(-before // size, -(-(size + after) // size)):
        begin, end = max(part * size, -before), min((part + 1) * size, size + after)
        if begin < end:
            found.append((part, begin, end))
    return found
