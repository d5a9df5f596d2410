"""The charts: what they show, and how they call it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("altair")

from gossamer.report.charts import bars, frontier, layers, time_shares


def rows(spec: Any) -> list[dict[str, Any]]:
    """Return the rows of a specification's first table."""
    data = spec.get("data") or next(layer["data"] for layer in spec["layer"] if "data" in layer)
    found: list[dict[str, Any]] = data["values"]
    return found


def test_each_candidate_has_a_bar_with_its_interval(proof: dict[str, Any]) -> None:
    found = rows(bars(proof["candidates"], "energy", "mJ"))
    assert [row["ours"] for row in found] == ["dense", "rival", "dense", "sparse"]
    assert found[0]["median"] == pytest.approx(120)
    assert found[0]["low"] < found[0]["median"] < found[0]["high"]


def test_what_was_not_measured_has_no_bar(proof: dict[str, Any]) -> None:
    proof["candidates"][1]["energy"]["joules"] = None
    assert len(rows(bars(proof["candidates"], "energy", "mJ"))) == 3
    assert len(rows(bars(proof["candidates"], "latency_ms", "ms"))) == 4


def test_the_frontier_shows_every_trial_and_the_dense_model(proof: dict[str, Any]) -> None:
    spec = frontier(proof["sparsified"])
    found = next(layer for layer in spec["layer"] if len(rows(layer)) > 1)
    kinds = [(row["cost"], row["kept"]) for row in rows(found)]
    assert kinds == [
        (30.0, "beyond it"),
        (50.0, "within the bound"),
        (70.0, "within the bound"),
        (100.0, "dense"),
    ]


def test_a_layer_is_called_by_what_tells_it_apart_and_by_its_sparsity(
    proof: dict[str, Any],
) -> None:
    for number, layer in enumerate(proof["layers"]):
        layer["name"] = f"/model/encoder/layer.{number}/dense/MatMul"
    found = rows(layers(proof))
    assert found[0]["layer"] == "50 %  layer.0"
    # One layer is left to ONNX Runtime and has no time of its own.
    assert len(found) == 15


def test_shares_are_of_the_whole_model(proof: dict[str, Any]) -> None:
    dense, sparse = time_shares(proof)[0]
    assert dense == pytest.approx(1e-4 / 2.8e-3)
    assert sparse == pytest.approx(5e-5 / 2.35e-3)
    assert time_shares(proof)[3][1] == 0.0
