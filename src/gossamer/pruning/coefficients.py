"""How much each layer's loss counts, found by trying mixes on the model itself.

The losses of layers do not simply add up to what the model loses: an error early in the model
counts otherwise than one late. Frantar, Alistarh: SPDY, 2022 (section 3.3): every layer's loss is
multiplied by a coefficient of its own, and coefficients are searched so that the mix that the
dynamic programme finds with them does best when it is stitched together from the database. What is
best is judged without labels, by how far the outputs are from the dense model's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gossamer.models.adapter import Batch, ModelAdapter
from gossamer.progress import Progress
from gossamer.pruning.database import Database

if TYPE_CHECKING:
    from torch import Tensor

Mix = tuple[int | None, ...]
"""The level of each layer; None is dense."""

CANDIDATES = 200
"""Different mixes that one search tries on the model at most."""
SECONDS = 60.0
"""That one search takes at most, beyond its two starts."""

# A later search starts from what an earlier one found for another budget.
_LATER = 0.25
# Standard deviation of a change, in powers of e.
_STEP = 1.0
# Candidates that give a mix which was tried already cost little, but so many in a row say that
# hardly one in a hundred gives another.
_REPEATS = 300


class Stitched:
    """The dense model with database weights put in, and its divergence from the dense model.

    Args:
        dense: the dense model; a copy of it is changed.
        database: filled.
        names: the layers, in the order of a mix.
        batches: to compare outputs on.
    """

    def __init__(
        self,
        dense: ModelAdapter,
        database: Database,
        names: Sequence[str],
        batches: Sequence[Batch],
    ) -> None:
        self._dense = dense
        self._database = database
        self._names = list(names)
        self._batches = batches
        self._adapter = dense.copy()
        self._now: list[int | None] = [None] * len(self._names)
        self._correct_norms = dense.norm_correction(batches)
        self._expected = list(self._adapter.outputs(batches))
        self._spread = _spreads(self._expected)
        self._known: dict[Mix, float] = {tuple(self._now): 0.0}

    def knows(self, mix: Mix) -> bool:
        """Whether the divergence of this mix was measured already."""
        return mix in self._known

    def divergence(self, mix: Mix) -> float:
        """Return how far the outputs of a mix are from the dense model's.

        It is the mean squared difference over the outputs' own variance, averaged over the
        outputs: 0 for the dense model, about 1 for one that always answers the mean.
        """
        if mix not in self._known:
            for index, (old, new) in enumerate(zip(self._now, mix, strict=True)):
                if old != new:
                    name = self._names[index]
                    source = self._dense.weight(name) if new is None else None
                    weight = source if new is None else self._database.weight(name, new)
                    assert weight is not None
                    self._adapter.set_weight(name, weight)
            self._now = list(mix)
            self._correct_norms(self._adapter)
            self._known[mix] = self._measure()
        return self._known[mix]

    def _measure(self) -> float:
        lost = np.zeros(len(self._spread))
        for outputs, expected in zip(
            self._adapter.outputs(self._batches), self._expected, strict=True
        ):
            for index, (one, other) in enumerate(zip(outputs, expected, strict=True)):
                lost[index] += _sum((one.float() - other.float()).square())
        return float(np.nan_to_num((lost / self._spread).mean(), nan=math.inf))


def _spreads(batches: Sequence[Sequence[Tensor]]) -> NDArray[np.float64]:
    """Return the sum of squares of each output around its mean, over all batches."""
    spreads = []
    for index in range(len(batches[0])):
        parts = [outputs[index].float() for outputs in batches]
        mean = sum(map(_sum, parts)) / sum(part.numel() for part in parts)
        spreads.append(sum(_sum((part - mean).square()) for part in parts))
    # An output that never changes is compared as it is.
    return np.array([spread if spread > 0 else 1.0 for spread in spreads] or [1.0])


def _sum(values: Tensor) -> float:
    import torch

    # The logits of a language model are large; only the sum is made in double precision.
    return float(values.sum(dtype=torch.float64))


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        coefficients: of each layer, in order.
        mix: that they give.
        divergence: of this mix.
        candidates: mixes that were tried on the model.
    """

    coefficients: NDArray[np.float64]
    mix: Mix
    divergence: float
    candidates: int


def measured_coefficients(
    stitched: Stitched,
    losses: Sequence[NDArray[np.float64]],
    reference: int,
    progress: Progress,
) -> NDArray[np.float64]:
    """Return coefficients that make each layer's loss, alone, what it does to the outputs.

    Args:
        stitched: the model.
        losses: of each layer at each level of the database.
        reference: the level at which single layers are tried.
        progress: told of each layer.
    """
    progress.start("trying single layers", len(losses))
    coefficients = np.ones(len(losses))
    for index, loss in enumerate(losses):
        alone: list[int | None] = [None] * len(losses)
        alone[index] = reference
        if loss[reference] > 0:
            coefficients[index] = stitched.divergence(tuple(alone)) / loss[reference]
        progress.advance()
    finite = coefficients[np.isfinite(coefficients)]
    largest = float(finite.max(initial=1.0))
    return np.nan_to_num(coefficients, nan=largest, posinf=largest)


def search(
    stitched: Stitched,
    solve: Callable[[NDArray[np.float64]], Mix],
    starts: Sequence[NDArray[np.float64]],
    progress: Progress,
    *,
    later: bool = False,
    candidates: int = CANDIDATES,
    seconds: float = SECONDS,
    seed: int = 0,
) -> Found:
    """Search coefficients whose mix diverges least.

    A local search: some coefficients of the best set so far, fewer as time goes on, are multiplied
    by random numbers, and what does better is kept.

    Args:
        stitched: the model.
        solve: from coefficients to the mix that loses least within the budget.
        starts: sets to begin with.
        progress: told of each candidate.
        later: whether the starts come from an earlier search, so that less is needed.
        candidates: mixes to try at most.
        seconds: to take at most, beyond the starts.
        seed: of the random numbers.
    """
    share = _LATER if later else 1.0
    limit, allowed = max(1, round(share * candidates)), share * seconds
    progress.start("looking for the mix that loses least", limit)
    best: Found | None = None
    tried = 0
    for coefficients in starts:
        mix = solve(coefficients)
        divergence = stitched.divergence(mix)
        if best is None or divergence < best.divergence:
            best = Found(coefficients, mix, divergence, 0)
    assert best is not None
    random = np.random.default_rng(seed)
    began = time.perf_counter()
    repeats = 0
    while tried < limit and repeats < _REPEATS:
        spent = time.perf_counter() - began
        if spent > allowed:
            break
        done = max(tried / limit, spent / allowed if allowed else 1.0)
        count = len(best.coefficients)
        changed = max(1, round((1 - done) * 0.3 * count))
        places = random.choice(count, changed, replace=False)
        coefficients = best.coefficients.copy()
        coefficients[places] *= np.exp(_STEP * random.standard_normal(changed))
        mix = solve(coefficients)
        if stitched.knows(mix):
            repeats += 1
            if stitched.divergence(mix) >= best.divergence:
                continue
        else:
            repeats = 0
            tried += 1
            progress.advance()
        divergence = stitched.divergence(mix)
        if divergence < best.divergence:
            best = Found(coefficients, mix, divergence, tried)
    return Found(best.coefficients, best.mix, best.divergence, tried)
