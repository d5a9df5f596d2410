"""What a caller feeds: as arrays, of the types and shapes that the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gossamer import arguments
from gossamer.errors import DataError, OptionError, first_line
from gossamer.graphs.dims import Dim
from gossamer.graphs.operation import Array
from gossamer.runtime import bounds

_TEXT = np.dtype(object)


class BeyondProgram(DataError):
    """Feeds that a compiled program does not take, though the model may."""

    against_onnx = False
    """Whether ONNX's text says that the model does not take them either."""


def check_mapping(feeds: object) -> None:
    """Refuse feeds that have no names.

    Raises:
        DataError: with the remedy.
    """
    if not isinstance(feeds, Mapping):
        raise DataError(
            f"the inputs must be a dict of arrays by name, not {type(feeds).__name__}; "
            "give {'name': array}"
        )


def check_names(asked: object, names: Sequence[str]) -> Sequence[str]:
    """The outputs that are wanted: all of `names` where none are asked for.

    Raises:
        OptionError: if they are no list, or one is not among `names`.
    """
    if asked is None:
        return names
    if isinstance(asked, str):
        raise OptionError(f"output_names= must be a list, not {asked!r}; give None for all")
    wanted = arguments.names("output_names", asked)
    for name in wanted:
        if name not in names:
            raise OptionError(f"no output {name!r}; the outputs are {', '.join(names)}")
    return wanted or names


def is_foreign(given: object) -> bool:
    """Whether it is an array whose bytes are in another order than this processor's."""
    return isinstance(given, np.ndarray) and not given.dtype.isnative


def as_array(name: str, given: ArrayLike, dtype: np.dtype[Any] | None = None) -> Array:
    """What was fed, as an array in this processor's order of bytes.

    Args:
        name: of the input.
        given: an array, or rows of numbers.
        dtype: what the model takes; numbers that have no type of their own become it, unless that
            loses what stands behind the point.

    Raises:
        DataError: if it is none, with the remedy.
    """
    if isinstance(given, np.ndarray):
        return given.astype(given.dtype.newbyteorder("=")) if is_foreign(given) else given
    try:
        array = np.asarray(given)
        is_bare = isinstance(given, (list, tuple, int, float))
        if is_bare and dtype is not None and np.can_cast(array.dtype, dtype, "same_kind"):
            return array.astype(dtype)
        return array
    except Exception as error:
        remedy = _of_torch(given)
        if remedy:
            raise DataError(f"input {name!r} is a tensor of PyTorch; give {remedy}") from None
        if isinstance(error, ValueError):
            raise DataError(f"input {name!r} is no array; give rows of one length") from None
        raise DataError(
            f"input {name!r} is no array ({first_line(error)}); give one of NumPy"
        ) from None


def _of_torch(given: Any) -> str:
    """What makes an array of a tensor that NumPy does not take; empty for other objects."""
    if not type(given).__module__.startswith("torch"):
        return ""
    calls = ["tensor"]
    if getattr(given, "requires_grad", False):
        calls.append("detach()")
    if str(getattr(given, "device", "cpu")) != "cpu":
        calls.append("cpu()")
    if str(given.dtype) == "torch.bfloat16":
        calls.append("float()")
    if str(getattr(given, "layout", "torch.strided")) != "torch.strided":
        calls.append("to_dense()")
    return ".".join([*calls, "numpy()"])


def of_type(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The array, if it is of the type that the model takes; text as objects.

    Raises:
        DataError: if it is of another type.
    """
    if array.dtype == dtype:
        return array
    if dtype == _TEXT and array.dtype.kind in "US":
        return array.astype(str).astype(object)
    raise DataError(
        f"input {name!r} must be {dtype}, not {array.dtype}; convert it with .astype('{dtype}')"
    )


def contiguous(name: str, array: Array) -> Array:
    """The array in the order of its axes, as kernels take it.

    Raises:
        DataError: if that takes a copy that memory does not hold.
    """
    if not array.flags.c_contiguous and array.nbytes > bounds.memory():
        raise DataError(
            f"input {name!r} of shape {list(array.shape)} takes {array.nbytes / 2**30:.3g} GiB, "
            f"more than this machine's memory; give fewer at once"
        )
    return np.asarray(array, order="C")


def differs(name: str, stated: Sequence[Any], shape: Sequence[Any], array: Array) -> str:
    """How an array's sizes differ from what the model's weights say of axes that it leaves open.

    Args:
        name: of the input.
        stated: its shape as the model states it.
        shape: its shape as it is known.
        array: what was fed, of that rank.
    """
    for said, size, number in zip(stated, shape, array.shape, strict=True):
        if isinstance(said, Dim) and isinstance(size, int) and number != size:
            bound = "least" if number < size else "most"
            return f"{said} is {number}; the compiled model takes at {bound} {size}"
    return ""


def match(
    name: str, shape: Sequence[Any], array: Array, sizes: dict[str, int]
) -> BeyondProgram | None:
    """Check an array's shape against the input's, and learn what its symbols stand for.

    Args:
        name: of the input.
        shape: its sizes: numbers, symbols, or anything else for one that may be any.
        array: what was fed.
        sizes: what the symbols stand for so far; takes more of them.

    Returns:
        What a compiled program has against it, though the model may take it; None if nothing.

    Raises:
        DataError: if the model does not take it.
    """

    def stated() -> str:
        # Only for an error: writing sizes takes longer than all else here.
        found = list(array.shape)
        return f"input {name!r} must have the shape [{', '.join(map(str, shape))}], not {found}"

    beyond = None
    if array.ndim != len(shape):
        raise DataError(f"{stated()}; add or remove axes")
    for size, number in zip(shape, array.shape, strict=True):
        if isinstance(size, Dim):
            (symbol,) = size.symbols
            if number < 1:
                beyond = BeyondProgram(f"{stated()}; give at least one along each axis")
            if sizes.setdefault(symbol, number) != number:
                beyond = BeyondProgram(f"{stated()}, as {symbol} is {sizes[symbol]} elsewhere")
                beyond.against_onnx = True
        elif isinstance(size, int) and size != number:
            raise DataError(f"{stated()}; pad or reshape it")
    return beyond
