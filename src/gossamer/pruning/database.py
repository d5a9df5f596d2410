"""Every layer solved at every level, before it is decided which level it gets.

Frantar, Alistarh: SPDY, 2022 (section 3.4), and Kurtic, Frantar, Alistarh: ZipLM, 2023 (section
3.3), keep such a database: models with any mix of levels are then put together without solving
anything again. Each layer is solved on the inputs that the dense model gives it, so that what it
loses does not depend on the other layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gossamer import arguments
from gossamer.errors import ModelError, OptionError
from gossamer.formats import load, save
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.progress import Progress
from gossamer.pruning.folder import digest_of_batches, short_digest
from gossamer.pruning.one_shot import group_layers
from gossamer.sparsity.allocation import Choice
from gossamer.sparsity.patterns import Pattern
from gossamer.sparsity.solvers import Solver
from gossamer.sparsity.statistics import LayerStatistics
from gossamer.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

GRID = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Sparsities of the levels, unless the user gives others."""

# A matrix on which it is seen which sparsities a pattern can reach.
_SAMPLE = 240
# Patterns of whole blocks come near to a sparsity; one that is this far off has another.
_NEAR = 0.02


def levels_of(patterns: Sequence[Pattern], sparsities: Sequence[float] = GRID) -> list[Choice]:
    """Return the levels of a database: each pattern at each sparsity that it can have.

    A pattern with a sparsity of its own, such as 2:4, is there once.

    Raises:
        OptionError: if a sparsity is not between 0 and 1, or a pattern can have none of them.
    """
    import torch

    sparsities = arguments.numbers("levels", sparsities)
    if not sparsities or not all(0 < sparsity < 1 for sparsity in sparsities):
        raise OptionError(f"levels={sparsities} must be numbers between 0 and 1")
    scores = torch.rand(_SAMPLE, _SAMPLE, generator=torch.Generator().manual_seed(0))
    levels: list[Choice] = []
    for pattern in patterns:
        reached: dict[float, None] = {}
        for sparsity in sorted(set(sparsities)):
            try:
                mask = pattern.mask(scores, sparsity)
            except OptionError:
                continue
            own = 1.0 - float(mask.double().mean())
            reached[sparsity if abs(own - sparsity) <= _NEAR else round(own, 6)] = None
        if not reached:
            raise OptionError(
                f"pattern {pattern.name!r} can have none of the sparsities {list(sparsities)}; "
                "give levels= that it can have"
            )
        levels += [Choice(pattern, sparsity) for sparsity in reached]
    return levels


class Database:
    """Solved weights and their losses, by layer and level, in files.

    Nothing is held in memory but the losses; `fill` solves what is not in the folder yet, one
    group of layers (the layers of a repeated block) after the other.

    Args:
        dense: the dense model; it is left as it is.
        layers: to solve.
        levels: at which.
        solver: how.
        batches: calibration data; at least one.
        folder: for the files; made if it is missing.
    """

    def __init__(
        self,
        dense: ModelAdapter,
        layers: Sequence[Layer],
        levels: Sequence[Choice],
        solver: Solver,
        batches: Sequence[Batch],
        folder: Path,
    ) -> None:
        self.levels = list(levels)
        self._dense = dense
        self._layers = list(layers)
        self._solver = solver
        self._batches = batches
        self._folder = folder
        # What a layer's inputs are follows from the whole model.
        self._source = (dense.digest(), digest_of_batches(batches), solver.name, __version__)
        self._losses: dict[str, dict[int, float]] = {layer.name: {} for layer in layers}

    def fill(self, progress: Progress) -> None:
        """Solve what is missing; an interruption loses no more than the level it falls in.

        Raises:
            DataError: if a batch does not run through the model, or a layer is reached by none.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        missing = [layer for layer in self._layers if not self._read_losses(layer.name)]
        if not missing:
            return
        progress.start("solving each layer at each level", len(missing))
        by_name = {layer.name: layer for layer in missing}
        statistics: dict[str, LayerStatistics] = {}

        def record(name: str, inputs: Tensor, _: Tensor | None) -> None:
            if name not in statistics:
                statistics[name] = LayerStatistics(
                    name, by_name[name].columns, groups=by_name[name].groups
                )
            statistics[name].update(inputs)

        walk = self._dense.copy().walk(self._batches, group_layers(missing), record)
        for group in walk:
            for name in group:
                layer = by_name[name]
                known = statistics.pop(name, None)
                # Without any input its error message is the one that names the layer.
                self._solve(
                    layer, known or LayerStatistics(name, layer.columns, groups=layer.groups)
                )
                progress.advance()

    def losses(self, name: str) -> NDArray[np.float64]:
        """Return ||dW X||^2 / ||W X||^2 of a layer at each level, after `fill`.

        It is the squared error of its outputs on the calibration inputs, dW being what the solver
        changed, over the outputs' squares: 0 for no loss, 1 for all weights gone.
        """
        found = self._losses[name]
        return np.array([found[index] for index in range(len(self.levels))])

    def weight(self, name: str, level: int) -> Tensor:
        """Return a layer's solved weight `[rows, columns]` at a level, after `fill`."""
        return load(self._file(name, level)).state_dict()["weight"]

    def _solve(self, layer: Layer, statistics: LayerStatistics) -> None:
        dense = self._dense.weight(layer.name)
        whole = squared_output(dense, statistics)
        for index, level in enumerate(self.levels):
            if index in self._losses[layer.name]:
                continue
            solved = self._solver.solve(dense, statistics, level.pattern, level.sparsity).weight
            lost = squared_output(solved - dense, statistics)
            loss = lost / whole if whole > 0 else 0.0
            save(
                {"weight": solved.cpu().numpy(), "loss": np.array(loss)},
                self._file(layer.name, index),
            )
            self._losses[layer.name][index] = loss

    def _read_losses(self, name: str) -> bool:
        """Read what is in the folder; return whether all levels are."""
        for index in range(len(self.levels)):
            file = self._file(name, index)
            if file.is_file():
                try:
                    self._losses[name][index] = float(load(file).arrays()["loss"])
                except (ModelError, KeyError):
                    # Damaged on the disk: it is solved again.
                    continue
        return len(self._losses[name]) == len(self.levels)

    def _file(self, name: str, level: int) -> Path:
        choice = self.levels[level]
        key = short_digest(*self._source, name, choice.pattern.name, choice.sparsity)
        return self._folder / f"{key}.gossamer.safetensors"


def squared_output(weight: Tensor, statistics: LayerStatistics) -> float:
    """Return ||W X||^2 over the calibration inputs, from X^T X.

    Args:
        weight: `[rows, columns]`.
        statistics: of the layer, with the Hessian.
    """
    hessian = statistics.hessian()
    grouped = weight.double().reshape(statistics.groups, -1, weight.shape[1])
    return max(0.0, float(((grouped @ hessian) * grouped).sum()))
