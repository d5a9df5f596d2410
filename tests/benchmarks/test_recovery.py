"""The benchmark of recovery: what it learns from, its table, and a run that goes on."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gossamer.demo.documents import Documents

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> Iterator[Any]:
    """The modules of the benchmark, which find their neighbours beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield SimpleNamespace(
            main=importlib.import_module("recovery"),
            table=importlib.import_module("recovery_table"),
        )
        for name in ("recovery", "recovery_table"):
            sys.modules.pop(name, None)


def documents(lengths: list[int], tokens: int) -> Documents:
    """Texts that begin with 1 and end with 2, with words that are like no other's between."""
    ids = np.zeros((len(lengths), tokens), np.int64)
    for number, length in enumerate(lengths):
        ids[number, :length] = [1, *(1000 * number + np.arange(10, 8 + length)), 2]
    return Documents(ids, (ids != 0).astype(np.int64), np.zeros(len(lengths), np.int64))


class TestWindows:
    def test_hold_every_word_once_but_for_short_ends(self, scripts: Any) -> None:
        found = scripts.main.windows(documents([24, 5, 13], 40), documents([40], 40)[:0], 10)
        ids, mask = found["input_ids"], found["attention_mask"]
        # 22 words: 8, 8 and 6; 3 words; 11 words: 8, and 3 that are too few.
        assert mask.sum(axis=1).tolist() == [10, 10, 8, 5, 10]
        assert (ids[:, 0] == 1).all()
        assert (ids[np.arange(5), mask.sum(axis=1) - 1] == 2).all()
        assert np.array_equal(mask, ids != 0)
        words = ids[ids > 2]
        assert words.tolist() == [*range(10, 32), *range(1010, 1013), *range(2010, 2018)]

    def test_leave_out_what_is_measured_on(self, scripts: Any) -> None:
        long = documents([40, 40, 40], 40)
        used = Documents(long.input_ids[1:2, :36], long.attention_mask[1:2, :36], long.topics[1:2])
        found = scripts.main.windows(long, used, 10)["input_ids"]
        assert not ((found >= 1000) & (found < 2000)).any()
        assert (found >= 2000).any()


def line(**changed: Any) -> dict[str, Any]:
    def score(loss: float, pearson: float) -> dict[str, Any]:
        return {
            "loss": loss,
            "replicates": [loss - 0.01, loss, loss + 0.01],
            "probe_accuracy": 0.9,
            "human_pearson": pearson,
            "human_spearman": 0.5,
            "documents": 400,
        }

    return {
        "kind": "recovery",
        "task": "minilm",
        "solver": "obs",
        "sparsity": 0.8,
        "seed": 0,
        "calibration_tokens": 8192,
        "cpu_minutes": 30.0,
        "steps": 5000,
        "batch_size": 32,
        "learning_rate": 5e-4,
        "dense": score(0.0, 0.8),
        "before": score(0.3, 0.6),
        "after": score(0.1, 0.79),
        "recovery": {"steps": 800, "cpu_seconds": 1680.0, "samples": 7831},
        "threads": 2,
        "environment": {
            "processor": "a processor",
            "platform": "Linux",
            "versions": {"gossamer": "0.1.0", "torch": "2.13.0"},
        },
        **changed,
    }


class TestTable:
    def test_tells_before_and_after_and_the_target(self, scripts: Any) -> None:
        rows = scripts.table.write([line()])
        dense, before, after = rows[2:5]
        assert "| 0.800 |" in dense
        assert "-25.0 %" in before
        assert "0.1000 | 0.0905 to 0.1095 | 90.0 | 0.790 | -1.2 %" in after
        assert after.endswith("| 800 | 28.0 | -2 % | reached |")
        assert "seeds: 1" in rows[-1]

    def test_a_miss_is_said(self, scripts: Any) -> None:
        missed = scripts.table.write([line(sparsity=0.7)])
        assert missed[4].endswith("| -1 % | **missed** |")

    def test_too_much_time_or_another_sparsity_has_no_verdict(self, scripts: Any) -> None:
        late = {"steps": 800, "cpu_seconds": 3000.0, "samples": 7831}
        for other in (line(recovery=late), line(sparsity=0.75)):
            assert scripts.table.write([other])[4].endswith("|  |  |")

    def test_seeds_are_averaged(self, scripts: Any) -> None:
        rows = scripts.table.write([line(), line(seed=1, after=line()["before"])])
        assert "0.2000 ± 0.1414" in rows[4]

    def test_no_lines_are_an_empty_table(self, scripts: Any) -> None:
        assert len(scripts.table.write([])) == 2


def test_runs_whose_lines_are_there_are_not_repeated(scripts: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(json.dumps(line()) + '\n{"kind": "recov', encoding="utf-8")
    done = scripts.main.existing(out)
    assert len(done) == 1
    assert out.read_text(encoding="utf-8") == json.dumps(line()) + "\n", "a torn line is removed"
    options = SimpleNamespace(
        seeds=2,
        sparsity=[0.7, 0.8],
        solver="obs",
        calibration_tokens=8192,
        cpu_minutes=30.0,
        steps=5000,
        batch_size=32,
        learning_rate=5e-4,
    )
    wanted = list(scripts.main.runs(options))
    assert len(wanted) == 4
    assert len(set(wanted) - done) == 3
    assert len({scripts.main.checkpoints(out, run) for run in wanted}) == 4
