"""The tiles of values that hold tokens: 64 lanes, fewer groups of them in the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossamer.runtime.codegen.builder import LANES, Builder, Term
from gossamer.runtime.kernels.tile import Lines, Shape, Tile
from gossamer.runtime.layouts import TILE

GROUPS = TILE // LANES


def shapes(operands: int) -> list[Shape]:
    """Tiles of one group of lanes to four."""
    found = []
    for groups in range(1, GROUPS + 1):
        lanes = tuple(group * LANES for group in range(groups))
        found.append(Shape(lanes, lanes, (lanes,) * operands))
    return found


def find_tile(
    b: Builder,
    x: Term,
    y: Term,
    operands: Sequence[Term],
    tiles: Term,
    last_groups: Term,
    x_tile: Term,
    y_tile: Term,
) -> Callable[[Term], Tile]:
    """A function from a tile's number to the tile, of arrays with so many floats in a tile."""

    def find(number: Term) -> Tile:
        groups = b.select(number.compare("==", tiles - 1), last_groups, b.i64(GROUPS))
        place, step = number * y_tile, b.i64(TILE)
        return Tile(
            groups,
            groups,
            number * GROUPS,
            b.at(x, number * x_tile),
            Lines(b.at(y, place), step),
            [Lines(b.at(operand, place), step) for operand in operands],
        )

    return find
