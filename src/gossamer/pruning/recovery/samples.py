"""The samples that recovery trains on, and their shuffled mini-batches."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import DataError
from gossamer.models.adapter import Batch, Input
from gossamer.models.calibration import (
    batches_in,
    check_arrays,
    is_whole,
    labels_in,
    left_out,
    open_data,
    split_item,
)
from gossamer.models.token_inputs import can_be_cut, per_token

_MASK = "attention_mask"
# Labels that PyTorch's losses leave out by default.
_IGNORED = -100
# Sequences of like length are looked for within so many mini-batches.
_WINDOW = 8

Arrays = dict[str, NDArray[Any]]


class Samples:
    """All samples, grouped by shape: a mini-batch comes from one group.

    Args:
        groups: arrays by name, first axis samples.
        extras: names of the arrays that the model does not take.
        notes: what was left out of the data.

    Attributes:
        inputs: names of the arrays that the model takes.
    """

    def __init__(
        self, groups: Sequence[Arrays], extras: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> None:
        self._groups = list(groups)
        self.notes = tuple(notes)
        self.extras = tuple(extras)
        self.inputs = tuple(sorted({name for group in groups for name in group} - set(extras)))
        self._lengths = [_lengths(group, self.extras) for group in self._groups]

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(map(_size, self._groups))

    def digest(self) -> str:
        """Return a fingerprint of the samples and their order."""
        found = hashlib.blake2b(digest_size=16)
        for group in self._groups:
            for name, array in sorted(group.items()):
                found.update(f"{name} {array.dtype} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def example(self) -> Batch:
        """Return what the model takes of the first sample."""
        return {name: array[:1] for name, array in self._groups[0].items() if name in self.inputs}

    def mini_batches(self, size: int, seed: int, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the mini-batches of an epoch: the group and the rows of each.

        Each epoch shuffles anew, and leaves out what does not fill a mini-batch; only a group
        smaller than one is a mini-batch of its own. Where sequences are padded, those of like
        length come together, as far as 8 mini-batches of the shuffled order hold such.

        Args:
            size: samples of a mini-batch.
            seed: of the order.
            epoch: from 0.
        """
        random = np.random.default_rng((seed, epoch))
        found: list[tuple[int, NDArray[np.int64]]] = []
        for number, (group, lengths) in enumerate(zip(self._groups, self._lengths, strict=True)):
            order = random.permutation(_size(group))
            if lengths is not None:
                order = np.concatenate(
                    [
                        part[np.argsort(lengths[part], kind="stable")]
                        for part in np.split(
                            order, range(_WINDOW * size, len(order), _WINDOW * size)
                        )
                    ]
                )
            whole = len(order) - len(order) % size
            ends = range(0, whole or 1, size)
            found += [(number, order[start : start + size]) for start in ends]
        return [found[index] for index in random.permutation(len(found))]

    def take(self, group: int, rows: NDArray[np.int64]) -> Batch:
        """Return some samples of a group, without columns that are padding in all of them."""
        batch = {name: array[rows] for name, array in self._groups[group].items()}
        lengths = self._lengths[group]
        if lengths is None:
            return batch
        positions = batch[_MASK].shape
        longest = max(1, int(lengths[rows].max()))
        return {
            name: array[:, :longest] if array.shape == positions else array
            for name, array in batch.items()
        }


def read_samples(data: Any, inputs: Sequence[Input], *, labelled: bool) -> Samples:
    """Return the samples in what the user gives.

    Args:
        data: as for calibration (`gossamer.models.calibration.read_batches`). Batches of token
            sequences with an `attention_mask` may differ in length: they are padded.
        inputs: what the model takes.
        labelled: whether further arrays, such as labels, are kept; behind the inputs of a batch
            without names they are called "labels", "labels_1", ...

    Raises:
        DataError: if the data is missing, empty, holds NaN or does not fit.
    """
    data = open_data(data)
    whole = is_whole(data)
    items = [data] if whole else list(batches_in(data, "the data"))
    if not items:
        raise DataError("the data is empty; give at least one batch")
    beside: dict[str, None] = {}
    extras: set[str] = set()
    read: list[Arrays] = []
    for number, item in enumerate(items, start=1):
        place = "the data" if whole else f"batch {number} of the data"
        read.append(_read(item, inputs, place, labelled, beside, extras))
    return Samples(_group(read, extras), sorted(extras), left_out(beside, "data"))


def _read(
    item: Any,
    inputs: Sequence[Input],
    place: str,
    labelled: bool,
    beside: dict[str, None],
    extras: set[str],
) -> Arrays:
    own, further = split_item(item, inputs, place)
    if not labelled:
        kept = further.keys() - labels_in(item, further)
        if kept and own:
            raise DataError(
                f"{place} has an array {min(kept)!r}, which the model does not take; leave it out, "
                "or give task_loss= that uses it. The model's inputs are: "
                f"{', '.join(one.name for one in inputs)}"
            )
        return check_arrays(item, inputs, place, beside=beside)
    arrays = check_arrays(own, inputs, place)
    extras.update(further)
    labels = [Input(name, required=True) for name in further]
    if labels:
        arrays |= check_arrays(further, labels, place)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{place}: arrays differ in their number of samples ({told}); align them")
    return arrays


def _group(read: Sequence[Arrays], extras: Collection[str]) -> list[Arrays]:
    """Put samples of like shape together; token sequences are padded to one length first."""
    if all(_MASK in arrays and arrays[_MASK].ndim == 2 for arrays in read):
        longest = max(arrays[_MASK].shape[1] for arrays in read)
        read = [_padded(arrays, longest, extras) for arrays in read]
    alike: dict[Any, list[Arrays]] = {}
    for arrays in read:
        shapes = sorted((name, array.shape[1:]) for name, array in arrays.items())
        alike.setdefault(tuple(shapes), []).append(arrays)
    return [
        {name: np.concatenate([arrays[name] for arrays in group]) for name in group[0]}
        for group in alike.values()
    ]


def _padded(arrays: Arrays, longest: int, extras: Collection[str]) -> Arrays:
    missing = longest - arrays[_MASK].shape[1]
    if not missing:
        return arrays
    padded = dict(arrays)
    for name, array in arrays.items():
        if per_token(name, array, arrays[_MASK]):
            value = _IGNORED if name in extras or name == "labels" else 0
            padded[name] = np.pad(array, ((0, 0), (0, missing)), constant_values=value)
    return padded


def _lengths(group: Arrays, extras: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the lengths of token sequences that are padded at the end; None for other data."""
    mask = group.get(_MASK)
    if mask is None or mask.ndim != 2:
        return None
    present = mask != 0
    # What else the model takes may be as long as the tokens, though it has another shape.
    cut = {
        name: array
        for name, array in group.items()
        if name not in extras or array.shape == mask.shape
    }
    if not all(can_be_cut(name, array, mask) for name, array in cut.items()):
        return None
    if not (present[:, 1:] <= present[:, :-1]).all():
        return None
    lengths: NDArray[np.int64] = present.sum(axis=1)
    return lengths


def _size(group: Arrays) -> int:
    return len(next(iter(group.values())))
