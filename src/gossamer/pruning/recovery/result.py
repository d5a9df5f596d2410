"""What recovery gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.energy import Spending
from gossamer.models.adapter import Batch
from gossamer.models.made import Made
from gossamer.pruning.result import Scores
from gossamer.quantities import count, percent
from gossamer.summary import Summary

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, repr=False)
class RecoveryResult(Summary, Made):
    """A recovered sparse module and how it came about.

    Attributes:
        model: in eval mode, on the device and in the precision of the sparse one that was given.
        steps: that were taken.
        requested_steps: that were asked for; more than `steps` where `max_cpu_minutes` allowed
            fewer.
        samples: that the data holds.
        batch_size: over all processes.
        epochs: how often each sample was seen, on average.
        losses: the weights of the terms.
        history: means over a few steps each: `step` (the last of them), `learning_rate`, `loss`
            and each term without its weight.
        weights: number of weights in the layers whose zeros were held.
        zeros: how many of them are zero.
        before: dense and sparse model before recovery by `evaluate`, or None if none was given.
        after: likewise after recovery.
        device: that trained it.
        processes: number of processes that did.
        seconds: of wall time that the steps took, over all interruptions.
        cpu_seconds: likewise of CPU time, all threads and processes together.
        energy_spent: on the steps and the evaluations, over all interruptions; where the sparse
            model came as a result of `sparsify`, with what that took.
        notes: what the user should know, each one sentence.
        example: one of the samples, by input name.
        source: the Hugging Face directory that the model came from; None for others.
    """

    model: nn.Module
    steps: int
    requested_steps: int
    samples: int
    batch_size: int
    epochs: float
    losses: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    weights: int
    zeros: int
    before: Scores | None
    after: Scores | None
    device: str
    processes: int
    seconds: float
    cpu_seconds: float
    energy_spent: Spending
    notes: tuple[str, ...]
    example: Batch | None = field(default=None, repr=False, compare=False)
    source: Path | None = None

    @property
    def sparsity(self) -> float:
        """Fraction of zeros over the layers whose zeros were held, 0 to 1."""
        return self.zeros / self.weights

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        told = {
            "model": type(self.model).__name__,
            "sparsity": f"{percent(self.sparsity)} of {count(self.weights)} weights, held",
            "training": f"{self.steps} steps of {self.batch_size} in {self.seconds:.0f} s",
        }
        if self.before is not None and self.after is not None:
            told["score"] = (
                f"{self.before.sparse:.4g} before, {self.after.sparse:.4g} now, "
                f"{self.after.dense:.4g} dense"
            )
        if self.notes:
            told["notes"] = f"{len(self.notes)}, in .notes"
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the model, ready for JSON."""
        return {
            "steps": self.steps,
            "requested_steps": self.requested_steps,
            "samples": self.samples,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "losses": dict(self.losses),
            "history": [dict(point) for point in self.history],
            "sparsity": self.sparsity,
            "weights": self.weights,
            "zeros": self.zeros,
            "before": _scores(self.before),
            "after": _scores(self.after),
            "device": self.device,
            "processes": self.processes,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "energy_spent": asdict(self.energy_spent),
            "notes": list(self.notes),
        }


def _scores(scores: Scores | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    found = asdict(scores) | {"drop": scores.drop}
    return {**found, "interval": list(scores.interval) if scores.interval else None}
