"""What a PyTorch module returns, as named tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from gossamer.errors import ModelError
from gossamer.models.hugging_face import is_transformers_model

_MAIN = ("logits", "last_hidden_state")
# What holds no tensor: None, and what an export cannot give.
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def main_outputs(model: nn.Module, outputs: Any) -> dict[str, Tensor]:
    """Return the tensors that a model returned, by name.

    Args:
        model: that returned them. Of a transformers model only `logits` count if it has a head,
            else `last_hidden_state`.
        outputs: a tensor, called "output"; a tuple or list, "output_0", ...; or a mapping or
            dataclass, whose keys are kept. What lies within these is called by the way to it:
            "output_1_0", or "states_0" within "states". None and plain numbers are left out.

    Raises:
        ModelError: if something else is among them, of which it is not known what tensors it holds.
    """
    if is_transformers_model(model) and isinstance(outputs, Mapping):
        main = [name for name in _MAIN if isinstance(outputs.get(name), Tensor)]
        if main:
            return {main[0]: outputs[main[0]]}
    return all_outputs(outputs)


def all_outputs(outputs: Any) -> dict[str, Tensor]:
    """Return every tensor in what a model returned, by name; see `main_outputs`."""
    found: dict[str, Tensor] = {}
    for name, tensor in _named(outputs, ""):
        # Two ways may make one name: {"a": (x, y), "a_0": z}.
        while name in found:
            name += "_"
        found[name] = tensor
    return found


def _named(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named(item, f"{name}_{key}" if name else str(key))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from _named(item, f"{name or 'output'}_{number}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            yield from _named(item, f"{name}_{field.name}" if name else field.name)
    elif not isinstance(value, _PLAIN):
        place = f"in {name!r} " if name else ""
        raise ModelError(
            f"the model returns {place}a {type(value).__name__}, of which it is not known what "
            "tensors it holds; return tensors in tuples, lists, mappings or dataclasses"
        )


def rebuilt(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return what a model returned with each tensor replaced, in the order of `all_outputs`.

    Args:
        value: tensors in tuples, lists, mappings and dataclasses; anything else stays as it is.
        change: from a tensor to what stands in its place.
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        # A copy of the same kind: a `ModelOutput` keeps attributes and keys together.
        items = {key: rebuilt(item, change) for key, item in value.items()}
        made: Any = copy.copy(value)
        for key, item in items.items():
            made[key] = item
        return made
    if isinstance(value, tuple | list):
        found = [rebuilt(item, change) for item in value]
        return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, rebuilt(getattr(value, field.name), change))
        return made
    return value
