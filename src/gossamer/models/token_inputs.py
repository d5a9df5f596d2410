"""Which of a model's inputs speak of the same tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MASK = "attention_mask"
# What transformers calls the inputs that speak of the same tokens, behind a common prefix.
_OF_TOKENS = ("input_ids", _MASK, "token_type_ids", "position_ids")


def family(name: str) -> str:
    """Return what inputs have in common that speak of the same tokens; of others it is the name."""
    endings = [ending for ending in _OF_TOKENS if name.endswith(ending)]
    return name.removesuffix(endings[0]) + "*" if endings else name


def masks(names: Iterable[str]) -> list[str]:
    """Return the inputs that tell tokens from padding, the plain `attention_mask` first."""
    return sorted((name for name in names if name.endswith(_MASK)), key=len)


def per_token(name: str, array: NDArray[Any], mask: NDArray[Any]) -> bool:
    """Return whether an array holds a whole number for each position of an `attention_mask`.

    A decoder's inputs do not, though they may have the mask's shape.
    """
    others = family(name) not in (name, family(_MASK))
    return array.shape == mask.shape and array.dtype.kind in "iub" and not others


def can_be_cut(name: str, array: NDArray[Any], mask: NDArray[Any]) -> bool:
    """Return whether nothing is lost of an array where an `attention_mask` has only padding.

    An array of another name than transformers' may be about other tokens, such as a translation's
    labels: its padding must all be alike.
    """
    known = family(name) == family(_MASK)
    return per_token(name, array, mask) and (known or np.unique(array[mask == 0]).size <= 1)
