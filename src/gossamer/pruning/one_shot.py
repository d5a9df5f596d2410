"""Removing weights in one pass over the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from gossamer.errors import ModelError
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.progress import Progress
from gossamer.pruning.result import LayerResult
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.solvers import Solver
from gossamer.sparsity.statistics import LayerStatistics

if TYPE_CHECKING:
    from torch import Tensor


def prune(
    adapter: ModelAdapter,
    batches: Sequence[Batch],
    layers: Sequence[Layer],
    plan: Mapping[str, Choice],
    solver: Solver,
    progress: Progress,
    dense: ModelAdapter | None = None,
) -> tuple[LayerResult, ...]:
    """Make a model's layers as sparse as a plan says, in place.

    Layers are calibrated group after group (the layers of one repeated block together, others
    alone), so that each sees the outputs of those that are already sparse. A solver that aims is
    told what each layer should give for them, for which the dense model runs beside. At the end
    the statistics of batch normalisation are moved by what pruning changed.

    Args:
        adapter: of the model to change.
        batches: calibration data; may be empty if the solver needs none.
        layers: that could be pruned.
        plan: the pattern and sparsity of each layer, by its name; one that it leaves out stays as
            it is.
        solver: how.
        progress: told of each layer.
        dense: an independent copy of the model as it was; without it no solver aims, and batch
            normalisation stays as it is.

    Returns:
        What became of each layer, in the order of `layers`.

    Raises:
        DataError: if a batch does not run, or a layer is reached by none.
    """
    by_name = {layer.name: layer for layer in layers}
    pruned = [layer for layer in layers if layer.name in plan]

    def solve(name: str, statistics: LayerStatistics | None) -> None:
        choice = plan[name]
        solution = solver.solve(adapter.weight(name), statistics, choice.pattern, choice.sparsity)
        adapter.set_weight(name, solution.weight)
        if solution.offset is not None:
            adapter.add_to_bias(name, solution.offset)
        progress.advance()

    if solver.needs == "nothing":
        for layer in pruned:
            solve(layer.name, None)
    else:
        statistics: dict[str, LayerStatistics] = {}

        def record(name: str, inputs: Tensor, targets: Tensor | None) -> None:
            if name not in statistics:
                statistics[name] = _statistics(by_name[name], solver)
            statistics[name].update(inputs, targets)

        twin = dense if solver.aims else None
        for group in adapter.walk(batches, group_layers(pruned), record, twin):
            for name in group:
                # Statistics of a wide layer take much memory, so they go as soon as they are used.
                solve(name, statistics.pop(name, None) or _statistics(by_name[name], solver))
    if dense is not None and any(choice.sparsity > 0 for choice in plan.values()):
        dense.norm_correction(batches)(adapter)
    return count_zeros(adapter, layers)


def count_zeros(adapter: ModelAdapter, layers: Sequence[Layer]) -> tuple[LayerResult, ...]:
    """Return the layers as they are in the model now."""
    return tuple(
        LayerResult(
            layer.name, layer.rows, layer.columns, layer.weights - int(weight.count_nonzero())
        )
        for layer in layers
        for weight in (adapter.weight(layer.name),)
    )


def group_layers(layers: Sequence[Layer]) -> list[list[str]]:
    """Return the names of the layers that are calibrated together: those of a repeated block."""
    groups: list[list[str]] = []
    for block, members in groupby(layers, key=lambda layer: layer.block):
        names = [layer.name for layer in members]
        groups += [names] if block is not None else [[name] for name in names]
    return groups


def check_weights(adapter: ModelAdapter, layers: Sequence[Layer]) -> None:
    """Refuse a model that is broken before it is pruned.

    Raises:
        ModelError: if a weight is NaN or infinite.
    """
    for layer in layers:
        if not adapter.weight(layer.name).isfinite().all():
            raise ModelError(
                f"layer '{layer.name}' has a weight that is NaN or infinite; repair the model, or "
                "leave the layer out with layers="
            )


def _statistics(layer: Layer, solver: Solver) -> LayerStatistics:
    return LayerStatistics(
        layer.name,
        layer.columns,
        groups=layer.groups,
        hessian=solver.needs == "hessian",
        bias=layer.bias,
    )
