"""What sparsifying gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


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
class Trial:
    """One sparsity that the search tried.

    Attributes:
        sparsity: that was asked for.
        score: what `evaluate` gave for it (its mean, if it gave one number per sample).
        drop: the dense model's score minus this one.
        accepted: whether the drop is within `max_drop`.
        seconds: it took, evaluation included.
    """

    sparsity: float
    score: float
    drop: float
    accepted: bool
    seconds: float


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


@dataclass(frozen=True)
class SparsifyResult:
    """A sparse model and how it came about.

    Attributes:
        model: of the kind that was given: a module (in eval mode) or an ONNX model.
        layers: the pruned layers, in the model's order.
        model_weights: number of weights in the whole model.
        model_zeros: how many of them are zero.
        solver: that was used.
        pattern: that was used.
        requested_sparsity: what the user asked for, or None after a search.
        max_drop: the allowed drop of a search, or None.
        trials: what the search tried, in turn.
        scores: by `evaluate`, or None if none was given.
        final_scores: by `final_evaluate`, which the search did not use, or None.
        notes: what the user should know, each one sentence.
        seconds: it all took.
    """

    model: Any
    layers: tuple[LayerResult, ...]
    model_weights: int
    model_zeros: int
    solver: str
    pattern: str
    requested_sparsity: float | None
    max_drop: float | None
    trials: tuple[Trial, ...]
    scores: Scores | None
    final_scores: Scores | None
    notes: tuple[str, ...]
    seconds: float

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
            "requested_sparsity": self.requested_sparsity,
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
            "trials": [asdict(trial) for trial in self.trials],
            "layers": [
                {**asdict(layer), "weights": layer.weights, "sparsity": layer.sparsity}
                for layer in self.layers
            ],
            "seconds": self.seconds,
        }


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval else None
