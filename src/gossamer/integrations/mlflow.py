"""Logging to MLflow: what was made sparse and how, what was tried, and what it saves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow

if TYPE_CHECKING:
    from gossamer.pruning import SparsifyResult
    from gossamer.verbs.compare import Proof

_PARAMETERS = ("solver", "pattern", "allocation", "objective", "max_drop", "requested_sparsity")
_METRICS = ("sparsity", "model_sparsity", "cost", "score", "drop", "final_score", "final_drop")


def log_result(result: SparsifyResult) -> None:
    """Log what `sparsify` did to the active run, or to a new one.

    Parameters say how; metrics what came out; each trial of a search is a step of `trial_cost`,
    `trial_sparsity` and `trial_score`. The whole goes into `gossamer/result.json`.
    """
    document = result.to_dict()
    mlflow.log_params(_known(document, _PARAMETERS))
    mlflow.log_metrics(_known(document, _METRICS))
    mlflow.log_metric("energy_spent_joules", result.energy_spent.joules)
    for step, trial in enumerate(result.trials):
        figures = {"cost": trial.cost, "sparsity": trial.sparsity, "score": trial.score}
        mlflow.log_metrics({f"trial_{name}": value for name, value in figures.items()}, step=step)
    mlflow.log_dict(document, "gossamer/result.json")


def log_proof(proof: Proof, report: str | Path | None = None) -> None:
    """Log what `compare` found to the active run, or to a new one.

    Each candidate's medians are metrics that end in its name, such as
    `latency_ms.sparse_Gossamer`; the sparse model's ratios to the dense one are `times_faster` and
    `times_less_energy`. The whole goes into `gossamer/proof.json`.

    Args:
        proof: what `gossamer.compare` returned.
        report: an HTML file to keep beside it.
    """
    for candidate in proof.measured.candidates:
        name = re.sub(r"\W+", "_", candidate.name)
        mlflow.log_metric(f"latency_ms.{name}", candidate.latency_ms.median)
        mlflow.log_metric(f"cpu_seconds.{name}", candidate.cpu_seconds.median)
        if candidate.energy.joules is not None:
            mlflow.log_metric(f"joules.{name}", candidate.energy.joules.median)
        if candidate.file_bytes is not None:
            mlflow.log_metric(f"file_bytes.{name}", candidate.file_bytes)
    gains = proof.sparse.gains
    if gains is not None:
        mlflow.log_metric("times_faster", gains.latency.median)
        mlflow.log_metric("times_less_energy", gains.energy.median)
    if proof.scores is not None:
        mlflow.log_metrics({"score": proof.scores.sparse, "drop": proof.scores.drop})
    mlflow.set_tag("gossamer.verdict", proof.verdict)
    mlflow.set_tag("gossamer.energy", proof.sparse.energy.method)
    mlflow.log_dict(proof.to_dict(), "gossamer/proof.json")
    if report is not None:
        mlflow.log_artifact(str(report), "gossamer")


def _known(document: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: document[name] for name in names if document[name] is not None}
