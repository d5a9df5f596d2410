"""What sparsifying gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gossamer.energy import Spending
from gossamer.models.adapter import Batch
from gossamer.models.made import Made
from gossamer.quantities import count, percent
from gossamer.summary import Summary


@dataclass(frozen=True)
class LayerResult:
    """One pruned layer, as the matrix `[rows, columns]`, and its zeros."""

    name: str
    rows: int
    columns: int
    zeros: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.rows * self.columns

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that are zero."""
        return self.zeros / self.weights


@dataclass(frozen=True)
class LayerPlan:
    """What a layer was given: the pattern of its zeros and their fraction; or nothing, for dense.

    Attributes:
        pattern: its name, or None for a layer that was left dense.
        sparsity: that was asked for, 0 to 1.
    """

    pattern: str | None
    sparsity: float


@dataclass(frozen=True)
class Spent:
    """Wall and CPU seconds of a stage."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Trial:
    """One model that the search tried.

    Attributes:
        asked: the sparsity that was asked for; or with allocation `cost` the budget, the fraction
            of the dense model's cost.
        sparsity: that was reached over the pruned layers.
        cost: fraction of the dense model's cost that remains, by `objective`.
        objective: what `cost` is of.
        figures: what is known of the model's costs, each under its unit: `cpu_seconds` and
            `joules` (estimated), `latency_seconds`, `bytes` of its file, nonzero `weights`.
        score: what `evaluate` gave for it (its mean, if it gave one number per sample).
        drop: the dense model's score minus this one.
        interval: 95 % interval of `drop` by paired bootstrap, where there were per-sample scores.
        accepted: whether the drop, or the interval's upper end if there is one, is within
            `max_drop`.
        seconds: it took, evaluation included.
    """

    asked: float
    sparsity: float
    cost: float
    objective: str
    figures: dict[str, float]
    score: float
    drop: float
    interval: tuple[float, float] | None
    accepted: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {**asdict(self), "interval": _listed(self.interval)}


@dataclass(frozen=True)
class Scores:
    """Dense and sparse model before the same evaluation; higher is better.

    Attributes:
        interval: 95 % interval of `drop` by paired bootstrap, where there were per-sample scores.
    """

    dense: float
    sparse: float
    interval: tuple[float, float] | None = None

    @property
    def drop(self) -> float:
        """The dense model's score minus the sparse model's."""
        return self.dense - self.sparse


@dataclass(frozen=True, repr=False)
class SparsifyResult(Summary, Made):
    """A sparse model and how it came about.

    Attributes:
        model: of the kind that was given: a module (in eval mode) or an ONNX model.
        layers: the pruned layers, in the model's order.
        model_weights: number of weights in the whole model.
        model_zeros: how many of them are zero.
        solver: that was used.
        pattern: that was used.
        allocation: that was used.
        objective: what was to be saved: of a budget or a search, or "sparsity".
        requested_sparsity: what the user asked for, or None after a search.
        budget: what the user asked for, or None.
        max_drop: the allowed drop of a search, or None.
        trials: what the search tried, in turn.
        plan: what each layer was given, by its name.
        cost: fraction of the dense model's cost that remains, by `objective`; None where it was
            not needed.
        scores: by `evaluate`, or None if none was given.
        final_scores: by `final_evaluate`, which the search did not use, or None.
        notes: what the user should know, each one sentence or two: what was skipped, dropped or
            assumed among it, as a share of the whole model's weights.
        seconds: it all took.
        energy_spent: on all of it, earlier calls with the same folder included.
        spent: of the time, by stage: `database` (solving layers at each level), `costs` (measuring
            them), `search` (looking for a mix), `trials` (pruning and evaluating).
        example: one sample of the calibration data, by input name; None if there was none.
        source: the Hugging Face directory that the model came from; None for others.
    """

    model: Any
    layers: tuple[LayerResult, ...]
    model_weights: int
    model_zeros: int
    solver: str
    pattern: str
    allocation: str
    objective: str
    requested_sparsity: float | None
    budget: float | None
    max_drop: float | None
    trials: tuple[Trial, ...]
    plan: dict[str, LayerPlan]
    cost: float | None
    scores: Scores | None
    final_scores: Scores | None
    notes: tuple[str, ...]
    seconds: float
    energy_spent: Spending
    spent: dict[str, Spent]
    example: Batch | None = field(default=None, repr=False, compare=False)
    source: Path | None = None

    @property
    def weights(self) -> int:
        """Number of weights in the pruned layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def zeros(self) -> int:
        """Number of zeros in the pruned layers."""
        return sum(layer.zeros for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of zeros over the pruned layers, 0 to 1."""
        return self.zeros / self.weights

    @property
    def model_sparsity(self) -> float:
        """Fraction of zeros over the whole model, embeddings and all, 0 to 1."""
        return self.model_zeros / self.model_weights

    @property
    def frontier(self) -> tuple[Trial, ...]:
        """The trials that no other beats: none costs less at as high a score; cheapest first."""
        ordered = sorted(self.trials, key=lambda trial: (trial.cost, -trial.score))
        found: list[Trial] = []
        for trial in ordered:
            if not found or trial.score > found[-1].score:
                found.append(trial)
        return tuple(found)

    @property
    def dense_score(self) -> float | None:
        """The dense model's score by `evaluate`."""
        return self.scores.dense if self.scores else None

    @property
    def score(self) -> float | None:
        """The sparse model's score by `evaluate`."""
        return self.scores.sparse if self.scores else None

    @property
    def drop(self) -> float | None:
        """Dense minus sparse score by `evaluate`."""
        return self.scores.drop if self.scores else None

    @property
    def drop_interval(self) -> tuple[float, float] | None:
        """95 % interval of `drop`, where `evaluate` gave one score per sample."""
        return self.scores.interval if self.scores else None

    @property
    def final_dense_score(self) -> float | None:
        """The dense model's score by `final_evaluate`."""
        return self.final_scores.dense if self.final_scores else None

    @property
    def final_score(self) -> float | None:
        """The sparse model's score by `final_evaluate`."""
        return self.final_scores.sparse if self.final_scores else None

    @property
    def final_drop(self) -> float | None:
        """Dense minus sparse score by `final_evaluate`: the drop to report."""
        return self.final_scores.drop if self.final_scores else None

    @property
    def final_drop_interval(self) -> tuple[float, float] | None:
        """95 % interval of `final_drop`, where `final_evaluate` gave one score per sample."""
        return self.final_scores.interval if self.final_scores else None

    @property
    def drop_measured_on(self) -> Literal["unseen data", "the data of the search"] | None:
        """What the best drop there is was measured on; None without any evaluation."""
        if self.final_scores:
            return "unseen data"
        if not self.scores:
            return None
        return "the data of the search" if self.trials else "unseen data"

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        told = {
            "model": type(self.model).__name__,
            "sparsity": f"{percent(self.sparsity)} of {count(self.weights)} prunable weights, "
            f"{percent(self.model_sparsity)} of all {count(self.model_weights)}",
        }
        if self.cost is not None:
            told["cost"] = f"{percent(self.cost)} of the dense model's {self.objective} remains"
        scores = self.final_scores or self.scores
        if scores is not None:
            told["score"] = (
                f"{scores.sparse:.4g}, {scores.dense:.4g} dense: drop {scores.drop:.4g}"
                f"{' ({:.4g} to {:.4g})'.format(*scores.interval) if scores.interval else ''}"
                f" on {self.drop_measured_on}"
            )
        if self.notes:
            told["notes"] = f"{len(self.notes)}, in .notes"
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the model, ready for JSON."""
        return {
            "sparsity": self.sparsity,
            "model_sparsity": self.model_sparsity,
            "weights": self.weights,
            "zeros": self.zeros,
            "model_weights": self.model_weights,
            "model_zeros": self.model_zeros,
            "solver": self.solver,
            "pattern": self.pattern,
            "allocation": self.allocation,
            "objective": self.objective,
            "requested_sparsity": self.requested_sparsity,
            "budget": self.budget,
            "cost": self.cost,
            "max_drop": self.max_drop,
            "dense_score": self.dense_score,
            "score": self.score,
            "drop": self.drop,
            "drop_interval": _listed(self.drop_interval),
            "final_dense_score": self.final_dense_score,
            "final_score": self.final_score,
            "final_drop": self.final_drop,
            "final_drop_interval": _listed(self.final_drop_interval),
            "drop_measured_on": self.drop_measured_on,
            "notes": list(self.notes),
            "trials": [trial.to_dict() for trial in self.trials],
            "frontier": [trial.to_dict() for trial in self.frontier],
            "plan": {name: asdict(given) for name, given in self.plan.items()},
            "layers": [
                {**asdict(layer), "weights": layer.weights, "sparsity": layer.sparsity}
                for layer in self.layers
            ],
            "seconds": self.seconds,
            "energy_spent": asdict(self.energy_spent),
            "spent": {stage: asdict(spent) for stage, spent in self.spent.items()},
        }


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval else None
