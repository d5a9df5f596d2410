"""Results where they are looked at: a line in a shell, a table in a notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import gossamer as gs
from gossamer.summary import Summary


class Told(Summary):
    def summary(self) -> dict[str, str]:
        return {"sparsity": "80 %", "note": "a < b"}


def test_a_line_in_a_shell() -> None:
    assert repr(Told()) == "<Told sparsity: 80 %; note: a < b>"


def test_a_table_in_a_notebook() -> None:
    table = Told()._repr_html_()
    assert table.startswith("<table><caption>Told</caption>") and "a &lt; b</td>" in table


@pytest.fixture(scope="module")
def result() -> gs.SparsifyResult:  # type: ignore[name-defined]
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return gs.sparsify(model, np.eye(16, dtype=np.float32), sparsity=0.5, evaluate=lambda m: 1.0)


def test_what_the_verbs_return_is_told_in_few_words(
    result: gs.SparsifyResult,  # type: ignore[name-defined]
    tmp_path: Path,
) -> None:
    told = repr(result)
    assert "sparsity: 50.0 % of 640 prunable weights" in told and "drop 0" in told
    assert len(told) < 300
    example = np.zeros((1, 16), np.float32)
    with gs.compile(result.model, example) as session:
        assert repr(session).startswith("<Session engine: ") and "[" in repr(session)
    assert "2 that can be pruned, with 640 of" in repr(gs.inspect(result.model, example))
    gs.save(result.model, tmp_path / "m.gossamer.safetensors")
    held = repr(gs.load(tmp_path / "m.gossamer.safetensors"))
    assert "4 with 676 numbers" in held and "graph: none" in held


def test_the_verbs_are_listed_before_they_are_imported() -> None:
    assert [name for name in dir(gs) if not name.startswith("__")] == sorted(gs.__all__)
