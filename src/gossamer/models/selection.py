"""Which layers are pruned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gossamer import arguments
from gossamer.errors import ModelError, OptionError
from gossamer.models.adapter import Layer


def default_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Choose the layers that are pruned unless the user says otherwise.

    A transformer loses weights within its repeated blocks only: embeddings, pooler and head stay
    dense. Any other model of more than two layers keeps its first (the stem) and its last (the
    classifier) dense, and its depthwise convolutions: they hold few weights and every one matters.
    Layers whose zeros no kernel skips stay as they are.
    """
    layers = [layer for layer in layers if layer.gain]
    in_blocks = [layer for layer in layers if layer.block is not None]
    if in_blocks and all(layer.kind == "linear" for layer in in_blocks):
        return in_blocks
    inner = layers[1:-1] if len(layers) > 2 else layers
    return [layer for layer in inner if not layer.depthwise]


def choose_layers(layers: Sequence[Layer], choice: str | Iterable[str] | None) -> list[Layer]:
    """Return the layers to prune, in the model's order.

    Args:
        layers: all prunable layers of the model.
        choice: None for `default_layers`, a regular expression found in the names (`re.search`),
            or a list of names.

    Raises:
        OptionError: if the expression is broken, or it or a name fits no layer.
        ModelError: if the model has no prunable layers.
    """
    if not layers:
        raise ModelError(
            "the model has no prunable layers (products, convolutions, embeddings or recurrent "
            "layers with constant weights); gossamer inspect says what it has instead"
        )
    if choice is None:
        chosen = default_layers(layers)
        if not chosen:
            raise ModelError(
                "no layer of this model is pruned by default; name some with layers=, such as "
                f"{layers[0].name!r}"
            )
        return chosen
    if isinstance(choice, str):
        if not choice:
            # As an expression it fits every layer, which nobody means who leaves a name empty.
            raise OptionError("layers= is empty; leave it out to prune the usual layers")
        try:
            expression = re.compile(choice)
        except re.error as error:
            raise OptionError(f"layers={choice!r} is not a regular expression: {error}") from error
        chosen = [layer for layer in layers if expression.search(layer.name)]
        if not chosen:
            raise OptionError(
                f"layers={choice!r} fits no prunable layer; names look like {layers[0].name!r}"
            )
        return chosen
    names = arguments.names("layers", choice)
    unknown = sorted(set(names) - {layer.name for layer in layers})
    if unknown or not names:
        raise OptionError(
            f"layers= names {unknown[0]!r}, which is no prunable layer; names look like "
            f"{layers[0].name!r}"
            if unknown
            else "layers= is empty; leave it out to prune the usual layers"
        )
    return [layer for layer in layers if layer.name in set(names)]
