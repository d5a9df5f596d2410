"""The tiles of values that hold images: rectangles of vectors, and how windows reach from one
plane into another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim
from gossamer.runtime.codegen.builder import I64, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.kernels.tile import Lines, Shape, Tile
from gossamer.runtime.layouts import GROUP, Planes
from gossamer.runtime.signature import Input, Output, Pointer, Signature, symbols

Tap = tuple[int, int]
"""An element of a window: rows and columns from an output's place, times the strides, to it."""


@dataclass(frozen=True)
class Tiling:
    """Rows and columns of vectors in a tile; fewer in the last."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Geometry:
    """How outputs and what they read lie, for a convolution or pooling.

    Raises:
        ModelError: if some tap would leave its plane, whatever the pixel, or the planes do not
            line up.
    """

    source: Planes
    output: Planes
    strides: tuple[int, int]
    taps: tuple[Tap, ...]
    operands: tuple[Planes, ...] = ()
    """How the other values lie that a kernel reads at the output's place."""

    def __post_init__(self) -> None:
        source, output = self.source, self.output
        (down, across), parts = self.strides, (output.rows, output.columns)
        aligned = (source.down, source.across) == (output.down * down, output.across * across)
        if (source.rows, source.columns) != parts or not aligned:
            raise ModelError("a window's input and output do not line up; export the model anew")
        for other in self.operands:
            if meeting(other) != meeting(output):
                raise ModelError("the operands of a sum do not line up; export the model anew")
        last = (output.down - 1) * down, (output.across - 1) * across
        for row, column in self.taps:
            fits = -source.above <= row and last[0] + row < source.down + source.below
            if not fits or not (
                -source.left <= column and last[1] + column < source.across + source.right
            ):
                raise ModelError("a window reaches outside its input; export the model anew")

    def distances(self) -> NDArray[np.int64]:
        """[taps] vectors from the beginning of the plane that holds an output's place to a tap."""
        taps = np.array(self.taps, np.int64)
        rows, columns = taps[:, 0] + self.source.above, taps[:, 1] + self.source.left
        result: NDArray[np.int64] = rows * self.source.pitch + columns
        return result

    def shapes(self, tiling: Tiling) -> tuple[Shape, ...]:
        """The shapes of tiles: whole ones, and those at the lower and right edge."""
        down, across = self.strides
        found = []
        for rows, columns in self._sizes(tiling):
            places = [(row, column) for row in range(rows) for column in range(columns)]
            source = self.source.pitch * down
            found.append(
                Shape(
                    tuple((row * source + column * across) * GROUP for row, column in places),
                    _places(self.output, places),
                    tuple(_places(other, places) for other in self.operands),
                )
            )
        return tuple(found)

    def table(self, tiling: Tiling) -> NDArray[np.int64]:
        """[tiles, 5 + operands] what there is to know of each tile.

        The number of its shape, counted from 1, its vectors, those of all tiles before it, and
        where it begins in floats from the beginning of a plane of the input, the output, each
        operand.
        """
        sizes = self._sizes(tiling)
        down, across = self.strides
        output = self.output
        lines: list[list[int]] = []
        before = 0
        for row in range(0, output.down, tiling.rows):
            for column in range(0, output.across, tiling.columns):
                size = (
                    min(tiling.rows, output.down - row),
                    min(tiling.columns, output.across - column),
                )
                source = (row * down * self.source.pitch + column * across) * GROUP
                others = [layout.place(row, column) for layout in (output, *self.operands)]
                lines.append([sizes.index(size) + 1, size[0] * size[1], before, source, *others])
                before += size[0] * size[1]
        return np.array(lines, np.int64)

    def arguments(self, tiling: Tiling, channels: int) -> dict[str, NDArray[Any] | int]:
        """What a convolution takes of it, for an input of so many channels; not the images."""
        table = self.table(tiling)
        kept = {} if self.output.exact else {"kept": self.output.kept()}
        return {
            **kept,
            "table": table,
            "tiles": len(table),
            "vectors": self.output.down * self.output.across,
            "x_image": channels * self.source.plane,
            "y_plane": self.output.plane,
        }

    def _sizes(self, tiling: Tiling) -> list[tuple[int, int]]:
        rows = _parts(self.output.down, tiling.rows)
        columns = _parts(self.output.across, tiling.columns)
        return [(one, other) for one in rows for other in columns]


def meeting(layout: Planes) -> tuple[int, ...]:
    """What values must share whose lanes meet."""
    return layout.rows, layout.columns, layout.down, layout.across


def _parts(whole: int, part: int) -> list[int]:
    return list(dict.fromkeys(min(part, whole - start) for start in range(0, whole, part)))


def _places(layout: Planes, places: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    return tuple((row * layout.pitch + column) * GROUP for row, column in places)


def tilings(layout: Planes, sizes: Sequence[int]) -> list[Tiling]:
    """Tiles of about so many vectors each: parts of a row of vectors, or several rows."""
    found = []
    for size in sizes:
        if layout.across >= size:
            pieces = round(layout.across / size)
            found.append(Tiling(1, -(-layout.across // pieces)))
        else:
            rows = min(layout.down, max(1, size // layout.across))
            # As even as possible: seven rows as four and three, not as six and one.
            rows = -(-layout.down // -(-layout.down // rows))
            found.append(Tiling(rows, layout.across))
    return list(dict.fromkeys(found))


_NUMBERS = *_, ROWS = symbols("tiles", "vectors", "images", "x_image", "y_plane", "rows")
(_KEPT,) = symbols("kept_lanes")


def signature(
    kernel: str,
    operands: Sequence[str],
    masked: bool,
    pointers: Sequence[Pointer],
    numbers: Sequence[Dim],
    lengths: Sequence[Dim] = (),
) -> Signature:
    """What a convolution takes, beside what its weights are and are counted in.

    The table of tiles, tiles and vectors in an image, floats in an image of x and in a plane of y,
    `rows` of planes in an image, and if `masked` the kept lanes of an output's plane.
    """
    tiles, _, images, x_image, y_plane, _ = _NUMBERS
    planes = symbols(*(f"{name}_plane" for name in operands))
    own: list[Pointer] = [
        Input("x", "float32", images * x_image, Planes),
        Output("y", "float32", images * ROWS * y_plane, Planes),
        Input("table", "int64", tiles * (5 + len(operands))),
        *([Input("kept", "int32", _KEPT)] if masked else []),
    ]
    for name, plane in zip(operands, planes, strict=True):
        own.append(Input(name, "float32", images * ROWS * plane, Planes))
    every = *_NUMBERS, *planes, *numbers
    return Signature(kernel, (*own, *pointers), every, (_KEPT, *lengths))


def counts(b: KernelBuilder) -> tuple[Term, Term]:
    """Tiles and vectors of all images."""
    tiles, vectors, images = b.arguments("tiles", "vectors", "images")
    return images * tiles, images * vectors


def find_tile(b: KernelBuilder, operands: Sequence[str], masked: bool) -> Callable[[Term], Tile]:
    """A function from a number, counted over images and their tiles, to the tile."""
    x, y, table = b.arguments("x", "y", "table")
    tiles, vectors, rows = b.arguments("tiles", "vectors", "rows")
    x_image, y_plane = b.arguments("x_image", "y_plane")
    kept = b.argument("kept") if masked else None
    bases = b.arguments(*operands)
    planes = b.arguments(*(f"{name}_plane" for name in operands))

    def find(number: Term) -> Tile:
        image = number // tiles
        columns = 5 + len(operands)
        entry = b.at(table, number % tiles * columns, I64)
        shape, size, before, source, output, *others = (
            b.load(b.at(entry, column, I64), I64) for column in range(columns)
        )
        return Tile(
            shape,
            size,
            image * vectors + before,
            b.at(b.at(x, image * x_image), source),
            Lines(b.at(b.at(y, image * (rows * y_plane)), output), y_plane),
            [
                Lines(b.at(b.at(base, image * (rows * plane)), place), plane)
                for base, plane, place in zip(bases, planes, others, strict=True)
            ],
            None if kept is None else b.at(kept, output),
        )

    return find
