"""The tiles of values that hold tokens: 64 lanes, fewer groups of them in the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossamer.graphs.dims import Dim, Size
from gossamer.runtime.codegen.builder import LANES, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.tile import Lines, Shape, Tile
from gossamer.runtime.layouts import TILE, TOKENS
from gossamer.runtime.signature import Input, Output, Pointer, symbols

GROUPS = TILE // LANES

NUMBERS = TILES, _, X_TILE, _Y_TILE = symbols("tiles", "last_groups", "x_tile", "y_tile")
"""What a layer over tiles takes: tiles, groups of lanes in the last of them, floats in a tile of
its input and of its output."""


def pointers(x: Size, rows: Dim, operands: Sequence[str]) -> tuple[Pointer, ...]:
    """What a layer takes: an input of so many floats, and the output and operands of `rows`."""
    # Up to the end of the last row of the last tile.
    room = (TILES - 1) * _Y_TILE + rows * TILE
    return (
        Input("x", "float32", x, TOKENS),
        Output("y", "float32", room, TOKENS),
        *(Input(name, "float32", room, TOKENS) for name in operands),
    )


def arguments(shape: Sequence[Size], columns: int, rows: int) -> dict[str, Size]:
    """What a layer takes beside arrays, for an input of this shape and of so many channels."""
    tiles, groups = TOKENS.tiles(shape), TOKENS.groups(shape)
    last = groups - (tiles - 1) * GROUPS
    x_tile, y_tile = columns * TILE, rows * TILE
    return {"tiles": tiles, "last_groups": last, "x_tile": x_tile, "y_tile": y_tile}


def shapes(operands: int) -> list[Shape]:
    """Tiles of one group of lanes to four."""
    found = []
    for groups in range(1, GROUPS + 1):
        lanes = tuple(group * LANES for group in range(groups))
        found.append(Shape(lanes, lanes, (lanes,) * operands))
    return found


def all_vectors(b: KernelBuilder) -> Term:
    """Of all tiles together."""
    return (b.argument("tiles") - 1) * GROUPS + b.argument("last_groups")


def find_tile(
    b: KernelBuilder, operands: Sequence[str], together: int = GROUPS
) -> Callable[[Term], Tile]:
    """A function from a number to a tile, or to the part of one that is so many groups."""
    x, y, tiles, last_groups = b.arguments("x", "y", "tiles", "last_groups")
    x_tile, y_tile = b.arguments("x_tile", "y_tile")
    parts = GROUPS // together

    def find(number: Term) -> Tile:
        tile, part = number // parts, number % parts
        all_groups = b.select(tile.compare("==", tiles - 1), last_groups, b.i64(GROUPS))
        groups = b.smaller(all_groups - part * together, together)
        lanes, step = part * (together * LANES), b.i64(TILE)
        place = tile * y_tile + lanes
        return Tile(
            groups,
            b.larger(groups, 1),
            tile * GROUPS + part * together,
            b.at(x, tile * x_tile + lanes),
            Lines(b.at(y, place), step),
            [Lines(b.at(operand, place), step) for operand in b.arguments(*operands)],
        )

    return find
