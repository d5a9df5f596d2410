"""An operation on tensors as rules see it, whatever graph it stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer.graphs.dims import Dim, Size, UnknownSize

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[Size, ...]


class Operand(Protocol):
    """A tensor that an operation takes or gives."""

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """None where it is not known."""

    @property
    def shape(self) -> Shape | None:
        """None where it is not known."""

    @property
    def data(self) -> Array | None:
        """The elements of a constant."""

    @property
    def content(self) -> NDArray[np.object_] | None:
        """The elements, sizes among them, of a small integer tensor that only depends on shapes."""


class Operation(Protocol):
    """One use of an operator."""

    @property
    def op(self) -> str:
        """The operator's name."""

    @property
    def domain(self) -> str:
        """Of its operator set; empty for ONNX's own."""

    @property
    def inputs(self) -> Sequence[Operand | None]:
        """What it takes, None where something is left out."""

    @property
    def outputs(self) -> Sequence[Operand]:
        """What it gives."""

    @property
    def output(self) -> Operand:
        """The first output."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Numbers, words, lists and arrays by name."""

    def input(self, index: int) -> Operand | None:
        """An input, None where it is left out."""

    def source(self, index: int) -> Operand:
        """An input that must be there."""


def shape_of(value: Operand | None) -> Shape:
    """A tensor's shape.

    Raises:
        UnknownSize: if it is not known.
    """
    if value is None or value.shape is None:
        raise UnknownSize("an input's shape is not known")
    return value.shape


def known_shape(value: Operand | None) -> Shape | None:
    """A tensor's shape; None where it is not known, or nothing is given."""
    return None if value is None else value.shape


def dtype_of(value: Operand | None) -> np.dtype[Any]:
    """A tensor's type.

    Raises:
        UnknownSize: if it is not known.
    """
    if value is None or value.dtype is None:
        raise UnknownSize("an input's type is not known")
    return value.dtype


def data_of(node: Operation, index: int) -> Array:
    """The elements of an input that is constant."""
    data = node.source(index).data
    assert data is not None
    return data


def content_of(value: Operand | None) -> list[Size]:
    """The elements of an integer tensor that depends on shapes only.

    Raises:
        UnknownSize: if it depends on anything else.
    """
    if value is None or value.content is None:
        raise UnknownSize("a shape is computed from data")
    return [item if isinstance(item, Dim) else int(item) for item in value.content.reshape(-1)]


def numbers_of(value: Operand | None) -> list[int]:
    """The elements of a constant integer tensor."""
    return list(fixed(content_of(value)))


def fixed(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Sizes as numbers.

    Raises:
        UnknownSize: if one of them depends on the input.
    """
    numbers = tuple(size for size in sizes if isinstance(size, int))
    if len(numbers) < len(sizes):
        raise UnknownSize("a size depends on the input")
    return numbers


def axes_of(node: Operation, index: int, rank: int) -> list[int] | None:
    """The axes that a node names, as an attribute or (in newer models) as an input."""
    if node.input(index) is not None:
        axes = numbers_of(node.input(index))
    elif "axes" in node.attributes:
        axes = list(node.attributes["axes"])
    else:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        raise UnknownSize("an axis lies outside the shape")
    if len({axis % rank for axis in axes}) < len(axes):
        raise UnknownSize("an axis is named twice")
    return [axis % rank for axis in axes]
