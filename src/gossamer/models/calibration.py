"""Data: from what the user gives to a list of checked batches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.errors import DataError
from gossamer.files import is_file
from gossamer.models.adapter import ANY, Batch, Input
from gossamer.models.python_file import is_function, load_function
from gossamer.models.token_inputs import can_be_cut
from gossamer.user_code import describe

BATCH_SIZE = 32
"""Samples of a batch, where the data comes as whole arrays."""

LABELS = "labels"
"""What the labels are called that stand behind the inputs of a batch without names."""

# Columns that data sets have beside a model's inputs.
_BESIDE = {
    *(LABELS, "label", "label_ids", "target", "targets", "y", "start_positions", "end_positions"),
    *("id", "idx", "index"),
}


class Columns(dict[str, Any]):
    """The columns of a data set, of which a model takes what it knows."""


def read_batches(
    data: Any,
    inputs: Sequence[Input],
    notes: list[str] | None = None,
    *,
    what: str = "calibration data",
    one: str = "calibration batch",
) -> list[Batch]:
    """Return data as batches that fit a model's inputs.

    Args:
        data: one of
            - arrays or tensors by input name, first axis samples (cut into batches of 32;
              token sequences with an `attention_mask` are sorted by length and trimmed; with a
              list of arrays, for an input that takes a sequence, all is one batch);
            - one such array, for a model's first input;
            - the path of an `.npz` file with such arrays;
            - `FILE.py:FUNCTION`, a function that returns data or yields batches;
            - an iterable of batches, such as a DataLoader: arrays by input name, one array, or the
              required inputs in order as a tuple or list;
            - a data set of torch or of the library datasets.
            Labels that come with the inputs are left out.
        inputs: what the model takes.
        notes: is told what was left out.
        what: the data is called in errors and notes.
        one: a batch of it is called in errors, before its number.

    Raises:
        DataError: if the data is missing, empty, holds NaN or does not fit.
    """
    data = open_data(data)
    beside: dict[str, None] = {}
    if is_whole(data):
        batches = _cut(check_arrays(data, inputs, what, beside=beside), inputs, what)
    else:
        batches = [
            check_arrays(item, inputs, f"{one} {number}", beside=beside)
            for number, item in enumerate(batches_in(data, what), start=1)
        ]
    if not batches:
        raise DataError(f"{what} is empty; give at least one batch")
    if notes is not None:
        notes += left_out(beside, what)
    return batches


def left_out(beside: Iterable[str], what: str) -> list[str]:
    """Return a note that says what of the data was left out; none if nothing was."""
    names = ", ".join(map(repr, beside))
    return [f"{names} in the {what}: left out, since the model does not take it."] if names else []


def open_data(data: Any) -> Any:
    """Return what an `.npz` file or a `FILE.py:FUNCTION` holds; other data as it is.

    Of a data set of the library datasets it returns the columns, and of one of torch its batches.

    Raises:
        DataError: if it cannot be read.
    """
    if isinstance(data, str | Path):
        data = _read(str(data))
    if hasattr(data, "column_names") and hasattr(data, "with_format") and hasattr(data, "__len__"):
        return Columns(data[:])
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(data, torch_data.Dataset):
        return torch_data.DataLoader(data, batch_size=BATCH_SIZE)
    return data


def first_batch(data: Any) -> Any:
    """Return the first batch of a DataLoader, a data set and the like; other data as it is."""
    if data is None or isinstance(data, tuple | list):
        return data
    data = open_data(data)
    return data if is_whole(data) else next(batches_in(data, "the data"), ())


def batches_in(data: Any, what: str) -> Iterator[Any]:
    """Yield the batches of an iterable.

    Args:
        data: the iterable.
        what: to call it in an error.

    Raises:
        DataError: if it is none, or fails to yield one.
    """
    if not isinstance(data, Iterable):
        raise DataError(
            f"{what} is a {type(data).__name__}; give arrays by input name, an .npz file, "
            "FILE.py:FUNCTION or an iterable of batches"
        )
    try:
        yield from data
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} fails to yield batches: {describe(error)}") from error


def is_whole(data: Any) -> bool:
    """Return whether data comes as whole arrays, not as an iterable of batches."""
    return isinstance(data, Mapping) or _is_array(data)


def is_sequence(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an entry of a batch is a sequence of arrays."""
    return bool(array.dtype.kind == "O")


def samples_in(batch: Batch) -> int:
    """Return the number of samples in a batch: one, where sequences leave open what is a sample."""
    if any(map(is_sequence, batch.values())):
        return 1
    return len(next(iter(batch.values())))


def example_in(batches: Sequence[Batch]) -> Batch | None:
    """Return one sample of some batches, the longest where they are sorted; None without any."""
    if not batches:
        return None
    last = batches[-1]
    if any(map(is_sequence, last.values())):
        return last
    return {name: array[-1:].copy() for name, array in last.items()}


def check_arrays(
    item: Any,
    inputs: Sequence[Input],
    place: str,
    *,
    aligned: bool = True,
    beside: dict[str, None] | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays by input name, checked against what the model takes.

    Args:
        item: arrays by input name, one array, or the required inputs in order. Labels may follow.
        inputs: what the model takes.
        place: what the item is called in an error.
        aligned: whether the first axis of each array must be the same samples.
        beside: takes the names of labels, which are left out.

    Raises:
        DataError: if the item is empty, holds NaN or does not fit.
    """
    named, others = split_item(item, inputs, place)
    labels = labels_in(item, others) if named else set()
    if beside is not None:
        beside |= dict.fromkeys(name for name in others if name in labels)
    named |= {name: value for name, value in others.items() if name not in labels}
    known = {wanted.name: wanted for wanted in inputs}
    arrays = {
        name: _entry(value, known.get(name, Input(name, required=False)), place)
        for name, value in named.items()
    }
    _check(arrays, inputs, place, aligned)
    return arrays


def split_item(
    item: Any, inputs: Sequence[Input], place: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of an item the model takes, by name, and what stands beside it.

    Args:
        item: as in `check_arrays`. Of a tuple or list the first elements are the required inputs,
            or the first is a mapping or tuple of inputs by itself. What follows are labels if it is
            one number a sample, or more than the model takes: "labels", "labels_1", ...
        inputs: what the model takes.
        place: what the item is called in an error.

    Raises:
        DataError: if it is none of these.
    """
    if isinstance(item, Mapping):
        known = {wanted.name for wanted in inputs}
        named = {str(name): value for name, value in item.items()}
        if ANY.name in known:
            known |= named.keys() - _BESIDE
        own = {name: value for name, value in named.items() if name in known}
        return own, {name: value for name, value in named.items() if name not in known}
    if _is_array(item):
        return {_names(inputs)[0]: item}, {}
    if not isinstance(item, tuple | list):
        raise DataError(
            f"{place} is a {type(item).__name__}; give arrays by input name "
            f"({', '.join(_names(inputs))})"
        )
    rest, labels = list(item), []
    if len(item) > 1 and _is_group(item[0]) and not any(one.sequence for one in inputs[:1]):
        own, others = split_item(item[0], inputs, place)
        labels = rest[1:]
    else:
        names, others = _names(inputs), {}
        required = [wanted.name for wanted in inputs if wanted.required] or names[:1]
        while len(rest) > len(required) and _dimensions(rest[-1]) <= 1:
            labels.insert(0, rest.pop())
        if len(rest) > len(names):
            rest, labels = rest[: len(names)], rest[len(names) :] + labels
            required = names
        if len(rest) != len(required):
            raise DataError(
                f"{place} has {len(item)} elements but the model requires {len(required)} "
                f"({', '.join(required)}); give arrays by name, without labels"
            )
        own = dict(zip(required, rest, strict=True))
    for number, value in enumerate(labels):
        others[f"{LABELS}_{number}" if number else LABELS] = value
    return own, others


def _cut(arrays: Batch, inputs: Sequence[Input], what: str) -> list[Batch]:
    """Cut whole arrays into batches of 32, or of the size that the model is fixed to."""
    if any(map(is_sequence, arrays.values())):
        return [arrays]
    fixed = [wanted.shape[0] for wanted in inputs if wanted.shape and wanted.shape[0]]
    size = fixed[0] if fixed else BATCH_SIZE
    samples = samples_in(arrays)
    if fixed and samples < size:
        raise DataError(
            f"{what} has {samples} samples but the model takes {size} at once; add some"
        )
    # A model of fixed batch size cannot run the rest.
    end = samples - samples % size if fixed else samples
    lengths = _lengths(arrays, inputs)
    if lengths is not None:
        # Sentences of like length together: padding costs time and tells nothing.
        order = np.argsort(lengths, kind="stable")
        arrays = {name: array[order] for name, array in arrays.items()}
        lengths = lengths[order]
    batches: list[Batch] = []
    for start in range(0, end, size):
        batch = {name: array[start : start + size] for name, array in arrays.items()}
        if lengths is not None:
            longest = max(1, int(lengths[start : start + size].max()))
            batch = {name: array[:, :longest] for name, array in batch.items()}
        batches.append(batch)
    return batches


def _lengths(arrays: Batch, inputs: Sequence[Input]) -> np.ndarray[Any, Any] | None:
    """Return the lengths of token sequences that are padded at the end; None for other data."""
    mask = arrays.get("attention_mask")
    if mask is None or mask.ndim != 2 or mask.dtype.kind not in "iub":
        return None
    tokens = all(can_be_cut(name, array, mask) for name, array in arrays.items())
    fixed = any(wanted.shape and wanted.shape[-1] for wanted in inputs)
    present = mask != 0
    at_the_end = bool((present[:, 1:] <= present[:, :-1]).all())
    return present.sum(axis=1) if tokens and not fixed and at_the_end else None


def _read(text: str) -> Any:
    if is_function(text):
        function = load_function(text)
        try:
            made = function()
        except (Exception, SystemExit) as error:
            raise DataError(f"{text} fails: {describe(error)}") from error
        return batches_in(made, text) if isinstance(made, Iterator) else made
    path = Path(text)
    if not is_file(path):
        raise DataError(f"{path} does not exist; give an .npz file or FILE.py:FUNCTION")
    if path.suffix == ".py":
        raise DataError(f"{path} holds functions; name the one that gives data: {path}:FUNCTION")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:
        raise DataError(
            f"{path} is not an .npz file of plain arrays ({type(error).__name__}); write it with "
            "numpy.savez(path, input_name=array)"
        ) from error


def _is_array(item: Any) -> bool:
    try:
        return hasattr(item, "shape") and hasattr(item, "__array__")
    except RuntimeError:
        # A nested tensor of torch, which has no shape to tell.
        return True


def labels_in(item: Any, others: Iterable[str]) -> set[str]:
    """Return which of the names that stand beside a model's inputs may be left out."""
    if isinstance(item, Columns):
        return set(others)
    return {name for name in others if name in _BESIDE or name.startswith(f"{LABELS}_")}


def _is_group(item: Any) -> bool:
    """Return whether the first element of a batch is a group of inputs, not an input."""
    if isinstance(item, Mapping):
        return True
    return isinstance(item, tuple | list) and bool(item) and all(map(_is_array, item))


def _dimensions(value: Any) -> int:
    return value.ndim if _is_array(value) else np.asarray(value, object).ndim


def _entry(value: Any, wanted: Input, place: str) -> np.ndarray[Any, Any]:
    """Return what is given for an input: an array, or an array of those in a sequence."""
    if not wanted.sequence:
        return _array(value, wanted, place)
    if not isinstance(value, list | tuple):
        raise DataError(
            f"{place}: {wanted.name!r} takes a sequence; give a list of arrays, and for several "
            "batches a list of dictionaries"
        )
    sequence = np.empty(len(value), object)
    sequence[:] = [_array(one, wanted, place) for one in value]
    return sequence


def _array(value: Any, wanted: Input, place: str) -> np.ndarray[Any, Any]:
    name = wanted.name
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if str(value.dtype) == "torch.bfloat16":
                value = value.float()
        array = np.asarray(value)
    except Exception as error:
        raise DataError(f"{place}: {name!r} is no array ({describe(error)})") from error
    if wanted.text:
        if array.dtype.kind not in "US" and not all(isinstance(one, str) for one in array.flat):
            raise DataError(
                f"{place}: {name!r} takes text and is an array of {array.dtype}; give strings"
            )
        return array.astype(np.str_)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{place}: {name!r} is not an array of numbers but of {array.dtype}; give numbers in "
            "arrays of one length"
        )
    # Torch takes bytes in this machine's order alone.
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _names(inputs: Sequence[Input]) -> list[str]:
    names = [wanted.name for wanted in inputs if wanted is not ANY]
    if not names:
        raise DataError(
            "the model names no inputs; give arrays by name if it takes **kwargs, else a model "
            "whose forward names what it takes"
        )
    return names


def _check(arrays: Batch, inputs: Sequence[Input], place: str, aligned: bool) -> None:
    known = {wanted.name: wanted for wanted in inputs}
    for name in arrays:
        if name not in known and ANY.name not in known:
            raise DataError(
                f"{place} has an array {name!r}, which the model does not take; its inputs are: "
                f"{', '.join(known)}"
            )
    missing = [wanted.name for wanted in inputs if wanted.required and wanted.name not in arrays]
    if missing or not arrays:
        raise DataError(
            f"{place} lacks an array named {(missing or _names(inputs))[0]!r}, which the model "
            "requires; add it"
        )
    for name, array in arrays.items():
        if array.ndim == 0 and aligned:
            raise DataError(
                f"{place}: {name!r} is a single number; its first axis must be the samples"
            )
        _check_array(array, known.get(name, Input(name, required=False)), place)
    lengths = {
        name: len(array) for name, array in arrays.items() if array.ndim and not is_sequence(array)
    }
    if aligned and len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{place}: arrays differ in their number of samples ({told}); align them")
    if 0 in lengths.values():
        raise DataError(f"{place} is empty; give at least one sample")


def _check_array(array: np.ndarray[Any, Any], wanted: Input, place: str) -> None:
    if is_sequence(array):
        for one in array:
            _check_numbers(one, wanted, place)
        return
    _check_numbers(array, wanted, place)
    if wanted.shape is None:
        return
    fits = len(wanted.shape) == array.ndim and all(
        size is None or size == given
        # The samples are cut into batches of whatever size the model is fixed to.
        for size, given in zip(wanted.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        shape = [
            ("samples" if axis == 0 else size) or "any" for axis, size in enumerate(wanted.shape)
        ]
        raise DataError(
            f"{place}: {wanted.name!r} has shape {array.shape} but the model takes "
            f"({', '.join(map(str, shape))}); reshape it"
        )


def _check_numbers(array: np.ndarray[Any, Any], wanted: Input, place: str) -> None:
    # NaN and infinity show in the extremes, for which nothing as large as the data is made.
    if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
        raise DataError(f"{place}: {wanted.name!r} holds NaN or infinity; clean the data")
    if wanted.floating is not None and wanted.floating != (array.dtype.kind == "f"):
        takes = "floating-point numbers" if wanted.floating else "whole numbers"
        raise DataError(
            f"{place}: {wanted.name!r} is {array.dtype} but the model takes {takes}; convert it"
        )
