"""What a layer costs: computed for `bytes` and `sparsity` from its number of zeros.

`energy` and `latency` are measured; see `gossamer.pruning.measured_costs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args

from gossamer.energy.meters import CpuTimeEstimate
from gossamer.errors import OptionError, shown
from gossamer.formats.encoding import sparse_bytes
from gossamer.models.adapter import Layer
from gossamer.sparsity.allocation import Choice

Objective = Literal["energy", "latency", "bytes", "sparsity"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
TIMED: tuple[Objective, ...] = ("energy", "latency")


class Costs(Protocol):
    """What layers cost."""

    @property
    def objective(self) -> Objective:
        """What is counted."""
        ...

    @property
    def rest(self) -> float:
        """What the model costs beside the layers, whatever they are."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, each one sentence."""
        ...

    def layer(self, name: str, choice: Choice | None) -> float:
        """Return what a layer costs with so many zeros; None leaves it as it is."""
        ...


def total(costs: Costs, names: Sequence[str], plan: Mapping[str, Choice]) -> float:
    """Return what the whole model costs under a plan; layers that it leaves out stay dense."""
    return costs.rest + sum(costs.layer(name, plan.get(name)) for name in names)


def figures(costs: Costs, amount: float) -> dict[str, float]:
    """Return a cost under the names of its units, for people and programs to read."""
    match costs.objective:
        case "energy":
            return {"cpu_seconds": amount, "joules": CpuTimeEstimate().joules(amount)}
        case "latency":
            return {"latency_seconds": amount}
        case "bytes":
            return {"bytes": amount}
        case "sparsity":
            return {"weights": amount}


class Weights:
    """Counts the weights that are left, over the layers that may be pruned.

    Args:
        nonzeros: of each layer, as it was given.
        layers: these.
    """

    objective: Objective = "sparsity"
    rest = 0.0
    notes: tuple[str, ...] = ()

    def __init__(self, layers: Sequence[Layer], nonzeros: Mapping[str, int]) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._nonzeros = nonzeros

    def layer(self, name: str, choice: Choice | None) -> float:
        """Return how many weights of a layer are left."""
        size, dense = self._layers[name].weights, self._nonzeros[name]
        return float(dense if choice is None else min(dense, size - round(choice.sparsity * size)))


class Bytes:
    """Computes the bytes of the sparse file: for each layer a bit mask and the nonzero values.

    Args:
        layers: that may be pruned.
        nonzeros: of each layer, as it was given.
        others: number of weights of the rest of the model.
    """

    objective: Objective = "bytes"
    notes: tuple[str, ...] = ()

    def __init__(self, layers: Sequence[Layer], nonzeros: Mapping[str, int], others: int) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._weights = Weights(layers, nonzeros)
        self.rest = float(others * max((layer.itemsize for layer in layers), default=4))

    def layer(self, name: str, choice: Choice | None) -> float:
        """Return the bytes of a layer's weight."""
        layer = self._layers[name]
        left = int(self._weights.layer(name, choice))
        dense = layer.weights * layer.itemsize
        return float(min(dense, sparse_bytes(layer.weights, left, layer.itemsize)))


def checked_objective(name: str) -> Objective:
    """Return `name` if it is an objective.

    Raises:
        OptionError: if not; the message lists those that there are.
    """
    for objective in OBJECTIVES:
        if isinstance(name, str) and objective == name:
            return objective
    raise OptionError(f"unknown objective {shown(name)}; choose one of: {', '.join(OBJECTIVES)}")
