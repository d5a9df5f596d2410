"""What a PyTorch module returns, as named tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from gossamer.models.hugging_face import is_transformers_model

_MAIN = ("logits", "last_hidden_state")


def main_outputs(model: nn.Module, outputs: Any) -> dict[str, Tensor]:
    """Return the tensors that a model returned, by name.

    Args:
        model: that returned them. Of a transformers model only `logits` count if it has a head,
            else `last_hidden_state`.
        outputs: a tensor, called "output"; a tuple or list, "output_0", ...; or a mapping, whose
            keys are kept.
    """
    named = dict(_named(outputs))
    if is_transformers_model(model):
        main = [name for name in _MAIN if name in named]
        return {name: named[name] for name in main[:1]} or named
    return named


def _named(outputs: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(outputs, Tensor):
        yield "output", outputs
    elif isinstance(outputs, Mapping):
        for name, value in outputs.items():
            if isinstance(value, Tensor):
                yield str(name), value
    elif isinstance(outputs, tuple | list):
        for number, value in enumerate(outputs):
            if isinstance(value, Tensor):
                yield f"output_{number}", value
