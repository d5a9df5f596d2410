"""What is drawn anew in each run."""

from __future__ import annotations

from gossamer.graphs.operator import Operator

_NAMES = (
    *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"),
    *("Multinomial", "Bernoulli"),
)

OPERATORS = {name: Operator(is_random=True) for name in _NAMES}
