"""Fill the vectors around each plane's part proper with what neighbouring parts hold there."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.runtime.codegen.builder import LANES, VEC, Builder, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.layouts import Planes
from gossamer.runtime.signature import Output, Signature, symbols


@dataclass(frozen=True)
class Surround:
    """The kernel; it changes an array in place."""

    layout: Planes

    @property
    def signature(self) -> Signature:
        """What it takes: the array, and how many planes there are in all."""
        (planes,) = numbers = symbols("planes")
        array = Output("array", "float32", planes * self.layout.plane, self.layout)
        return Signature("Surround", (array,), numbers)

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        layout = self.layout
        rows = _spans(layout.above, layout.down, layout.below, layout.rows)
        columns = _spans(layout.left, layout.across, layout.right, layout.columns)
        array, planes = b.arguments("array", "planes")
        low, high = b.own_share(planes)
        with b.loop(low, high) as number:
            plane = b.at(array, number * layout.plane)
            for row in rows:
                for column in columns:
                    if row.part or column.part:
                        self._fill(b, plane, row, column)

    def _fill(self, b: Builder, plane: Term, rows: _Span, columns: _Span) -> None:
        """Copy the vectors from the part that holds their pixels; zeros if none does."""
        layout = self.layout
        zero = b.number(VEC, 0)
        lanes = []
        for lane in range(LANES):
            i, j = lane // layout.columns + rows.part, lane % layout.columns + columns.part
            inside = 0 <= i < layout.rows and 0 <= j < layout.columns
            # Beyond the vector's own lanes lies a vector of zeros.
            lanes.append(i * layout.columns + j if inside else LANES)
        empty = all(lane == LANES for lane in lanes)
        down, across = rows.part * layout.down, columns.part * layout.across
        distance = (down * layout.pitch + across) * LANES
        with (
            b.loop(rows.begin, rows.end) as t,
            b.loop(columns.begin, columns.end) as s,
        ):
            place = b.at(plane, layout.place(0, 0) + (t * layout.pitch + s) * LANES)
            if empty:
                b.store(zero, place, align=64)
            else:
                value = b.load(b.at(place, -distance), VEC, align=64)
                b.store(b.shuffle(value, zero, lanes), place, align=64)


@dataclass(frozen=True)
class _Span:
    """Positions whose pixels belong to the part so many further on."""

    part: int
    begin: int
    end: int


def _spans(before: int, size: int, after: int, parts: int) -> list[_Span]:
    """Positions from `-before` to `size + after`, by the part that holds their pixels.

    All that lie so far out that no part does form one span at either end.
    """
    found = []
    for part in range(-parts, parts + 1):
        begin = -before if part == -parts else max(part * size, -before)
        end = size + after if part == parts else min((part + 1) * size, size + after)
        if begin < end:
            found.append(_Span(part, begin, end))
    return found
