"""What MLflow keeps of a result and of a proof, in a local store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gossamer as gs

X = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def mlflow() -> Any:
    """Imported where it is used, since that takes seconds in each process that collects tests."""
    return pytest.importorskip("mlflow")


@pytest.fixture
def store(mlflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Newer releases keep a store of plain files only for those who ask for it.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    yield mlflow.tracking.MlflowClient()
    mlflow.set_tracking_uri(before)


def kept(client: Any, run: str, name: str) -> Any:
    return json.loads(Path(client.download_artifacts(run, f"gossamer/{name}")).read_text())


def test_a_search_is_logged_trial_by_trial(mlflow: Any, store: Any, small_onnx: Path) -> None:
    from gossamer.integrations.mlflow import log_result

    dense = onnx.load(small_onnx)
    result = gs.sparsify(
        dense,
        X,
        evaluate=lambda session: float(-np.abs(session.run(None, {"x": X})[0]).mean()),
        max_drop=100.0,
        solver="magnitude",
        allocation="uniform",
    )
    with mlflow.start_run() as run:
        log_result(result)
    found = store.get_run(run.info.run_id).data
    assert found.params["solver"] == "magnitude"
    assert found.metrics["sparsity"] == pytest.approx(result.sparsity)
    assert found.metrics["energy_spent_joules"] > 0
    steps = store.get_metric_history(run.info.run_id, "trial_score")
    assert [point.value for point in steps] == pytest.approx([t.score for t in result.trials])
    assert kept(store, run.info.run_id, "result.json")["solver"] == "magnitude"


@pytest.mark.usefixtures("memory_unmeasured")
def test_a_proof_is_logged_with_its_verdict_and_report(
    mlflow: Any, store: Any, small_onnx: Path, tmp_path: Path
) -> None:
    from gossamer.integrations.mlflow import log_proof

    proof = gs.compare(
        small_onnx, small_onnx, X[:4], threads=1, min_time=0, max_time=0.1, rivals=False,
        evaluate=lambda session: 0.5,
    )  # fmt: skip
    (tmp_path / "report.html").write_text("<p>")
    with mlflow.start_run() as run:
        log_proof(proof, tmp_path / "report.html")
    found = store.get_run(run.info.run_id).data
    latency = proof.sparse.latency_ms.median
    assert found.metrics["latency_ms.sparse_Gossamer"] == pytest.approx(latency)
    assert found.metrics["times_less_energy"] > 0
    assert found.metrics["drop"] == 0
    assert found.tags["gossamer.verdict"] == proof.verdict
    assert kept(store, run.info.run_id, "proof.json")["verdict"] == proof.verdict
    assert Path(store.download_artifacts(run.info.run_id, "gossamer/report.html")).is_file()
