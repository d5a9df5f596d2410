"""Which axes of a module's inputs may have any size: found by running it with other sizes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gossamer import arguments
from gossamer.errors import OptionError, shown
from gossamer.models.adapter import AxisNames
from gossamer.models.token_inputs import family

Tensors = Mapping[str, Tensor]
Axis = tuple[str, int]
"""An input's name and the number of one of its axes."""


@dataclass
class OpenAxes:
    """What was found.

    Attributes:
        tensors: the example with few samples, and with no open axis of one: that would be traced as
            something to broadcast.
        names: of the open axes.
    """

    tensors: dict[str, Tensor]
    names: dict[str, dict[int, str]]

    def others(self) -> list[tuple[str, dict[str, Tensor]]]:
        """Return for each name of an axis the inputs with another size there."""
        labels = dict.fromkeys(label for axes in self.names.values() for label in axes.values())
        return [(label, _other(self.tensors, self.members(label))) for label in labels]

    def members(self, label: str) -> list[Axis]:
        """Return the axes of a name."""
        return [
            (name, axis)
            for name, axes in self.names.items()
            for axis, found in axes.items()
            if found == label
        ]


def find_open_axes(
    runs: Callable[[Tensors], bool],
    example: Tensors,
    stated: AxisNames | None = None,
) -> OpenAxes:
    """Find out which axes of an example may have other sizes.

    By default that is the first axis of every input, called "batch", and the second of token inputs
    (whole numbers, two axes), called "sequence". What can only change together has one name. What
    changes alone has a name of its own, such as "decoder_input_ids_sequence". What cannot change
    keeps the example's size.

    Args:
        runs: whether the module takes such inputs.
        example: tensors by input name, which the module takes.
        stated: the axes that are open by the user's word, and no others.

    Raises:
        OptionError: if a stated axis does not exist, or the module takes no other size there.
    """
    if stated is not None:
        return _checked(runs, example, stated)
    found = OpenAxes(dict(example), {name: {} for name in example})
    for label, candidates in (
        ("batch", [(name, 0) for name, tensor in example.items() if tensor.ndim]),
        ("sequence", [(name, 1) for name, tensor in example.items() if _is_tokens(tensor)]),
    ):
        classes: dict[int, list[Axis]] = {}
        for name, axis in candidates:
            classes.setdefault(example[name].shape[axis], []).append((name, axis))
        for size, members in classes.items():
            # Of nothing there is nothing to repeat.
            if size:
                _open(runs, found, label, members)
    return found


def closed(found: OpenAxes, example: Tensors, labels: Collection[str]) -> OpenAxes:
    """Return the same with the axes of some names as the example has them."""
    axes = [axis for label in labels for axis in found.members(label)]
    tensors = found.tensors
    for name, axis in axes:
        tensors = _as_in(example, tensors, name, axis)
    names = {
        name: {axis: label for axis, label in axes.items() if label not in labels}
        for name, axes in found.names.items()
    }
    return OpenAxes(tensors, names)


def _open(
    runs: Callable[[Tensors], bool], found: OpenAxes, label: str, members: Sequence[Axis]
) -> None:
    """Add those of the axes, all of one size, that may have another."""
    before = found.tensors
    together = _start(before, members, label)
    if runs(together):
        found.tensors = together
    units: dict[str, list[Axis]] = {}
    for name, axis in members:
        units.setdefault(family(name), []).append((name, axis))
    left = list(units.values())

    def tried(chosen: Sequence[Sequence[Axis]]) -> dict[str, Tensor] | None:
        """Return the inputs to trace with if these axes can change and the others need not."""
        axes = [axis for unit in chosen for axis in unit]
        start = _start(found.tensors, axes, label)
        return start if runs(start) and runs(_other(start, axes)) else None

    while left:
        chosen = left[:1]
        for unit in left[1:]:
            if tried(chosen) is not None:
                break
            chosen.append(unit)
        start = tried(chosen)
        if start is None:
            for name, axis in left.pop(0):
                found.tensors = _as_in(before, found.tensors, name, axis)
            continue
        for unit in chosen[1:]:
            fewer = [one for one in chosen if one is not unit]
            if (smaller := tried(fewer)) is not None:
                chosen, start = fewer, smaller
        left = [unit for unit in left if unit not in chosen]
        axes = [axis for unit in chosen for axis in unit]
        taken = {known for names in found.names.values() for known in names.values()}
        found.tensors = start
        for name, axis in axes:
            found.names[name][axis] = f"{axes[0][0]}_{label}" if label in taken else label


def _checked(runs: Callable[[Tensors], bool], example: Tensors, stated: AxisNames) -> OpenAxes:
    found = OpenAxes(dict(example), {name: {} for name in example})
    if not (isinstance(stated, Mapping) and all(isinstance(it, Mapping) for it in stated.values())):
        raise OptionError(
            f"dynamic_axes is {shown(stated)}; give names by input and axis, such as "
            "{'x': {0: 'batch'}}"
        )
    for name, axes in stated.items():
        if name not in example:
            raise OptionError(
                f"dynamic_axes names {name!r}, which is no input of the example; its inputs are: "
                f"{', '.join(example)}"
            )
        for axis, label in axes.items():
            if not isinstance(label, str) or not label:
                raise OptionError(
                    f"dynamic_axes calls an axis of {name!r} {shown(label)}; give it a name, such "
                    "as 'batch'"
                )
            axis = arguments.whole(f"an axis of {name!r} in dynamic_axes", axis, 0)
            if axis >= example[name].ndim:
                raise OptionError(
                    f"dynamic_axes names axis {axis} of {name!r}, which has {example[name].ndim}"
                )
            if not example[name].shape[axis]:
                raise OptionError(
                    f"dynamic_axes names axis {axis} of {name!r}, which has no element in the "
                    "example; give an example with some"
                )
            found.names[name][axis] = label
    for label in dict.fromkeys(label for axes in stated.values() for label in axes.values()):
        members = found.members(label)
        start = _start(found.tensors, members, "sequence")
        if not (runs(start) and runs(_other(start, members))):
            told = ", ".join(f"{axis} of {name!r}" for name, axis in members)
            raise OptionError(
                f"dynamic_axes calls axis {told} {label!r}, but the model does not run when it has "
                "another size; leave it out, or name the axes that change with it alike"
            )
        found.tensors = start
    return found


def _start(tensors: Tensors, axes: Sequence[Axis], label: str) -> dict[str, Tensor]:
    """Return the inputs with two samples, or with at least two positions, along some axes."""
    return resized(tensors, axes, lambda size: 2 if label == "batch" else max(size, 2))


def _other(tensors: Tensors, axes: Sequence[Axis]) -> dict[str, Tensor]:
    """Return the inputs with another size along some axes, above one."""
    return resized(tensors, axes, lambda size: size - 1 if size > 2 else size + 1)


def _as_in(example: Tensors, tensors: Tensors, name: str, axis: int) -> dict[str, Tensor]:
    """Return the tensors with one axis of the example's size."""
    size = example[name].shape[axis]
    return resized(tensors, [(name, axis)], lambda _: size)


def resized(
    tensors: Tensors, axes: Sequence[Axis], size_of: Callable[[int], int]
) -> dict[str, Tensor]:
    """Return the tensors cut, or repeated and cut, along some axes."""
    resized = dict(tensors)
    for name, axis in axes:
        tensor = resized[name]
        size = size_of(tensor.shape[axis])
        if size > tensor.shape[axis]:
            tensor = torch.cat([tensor] * -(-size // tensor.shape[axis]), dim=axis)
        resized[name] = tensor.narrow(axis, 0, size).contiguous()
    return resized


def _is_tokens(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and not tensor.is_floating_point()
