"""Activations, element by element."""

from __future__ import annotations

from gossamer.graphs.axes import elementwise
from gossamer.graphs.elementwise import broadcasted, same
from gossamer.graphs.operator import Operator

_NAMES = (
    *(
        "Relu",
        "Gelu",
        "Sigmoid",
        "Tanh",
        "LeakyRelu",
        "Elu",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
    ),
    *("Softsign", "Selu", "Celu", "Mish", "ThresholdedRelu", "Swish", "Shrink"),
)

OPERATORS = {
    **{name: Operator(same, elementwise) for name in _NAMES},
    "PRelu": Operator(broadcasted, elementwise),
}
