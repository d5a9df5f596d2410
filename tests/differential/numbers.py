"""Random elements of tensors, of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Style:
    """How elements are distributed."""

    name: str
    special: bool = False
    """Whether infinities and NaN are among the floats."""

    @classmethod
    def any(cls, rng: np.random.Generator, special: bool = False) -> Style:
        names = ("normal", "uniform", "steps", "positive", "tails", "sparse")
        weights = (0.5, 0.12, 0.12, 0.1, 0.08, 0.08)
        return cls(str(rng.choice(names, p=weights)), special)


NORMAL, POSITIVE, SPARSE, TAILS = (
    Style("normal"),
    Style("positive"),
    Style("sparse"),
    Style("tails"),
)


def random_array(
    rng: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int], style: Style
) -> NDArray[Any]:
    """An array of a type and shape."""
    shape = tuple(shape)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low = -9 if dtype.kind == "i" and style.name != "positive" else 0
        return np.asarray(rng.integers(low, 10, shape), dtype)
    made = np.asarray(rng.standard_normal(shape))
    if style.name == "uniform":
        made = rng.random(shape) * 2 - 1
    elif style.name == "steps":
        # Many elements are equal, and halves lie between whole numbers.
        made = rng.integers(-6, 7, shape) / 2
    elif style.name == "positive":
        made = np.abs(made) + 0.1
    elif style.name == "tails":
        # Far from zero, on one side or on both.
        side = rng.choice((-1.0, 1.0)) if rng.random() < 0.6 else np.sign(made)
        made = side * (np.abs(made) * 25 + 4)
    elif style.name == "sparse":
        made = made * (rng.random(shape) < 0.2)
    made = np.asarray(made)
    if style.special and made.size:
        for special in (np.nan, np.inf, -np.inf):
            if rng.random() < 0.5:
                made[rng.random(shape) < 0.1] = special
    return np.asarray(made, dtype)
