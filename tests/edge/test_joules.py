"""The energy of an inference comes out of a comparison, with the words that belong to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gossamer.edge.joules import compared_joules
from gossamer.errors import ScenarioError


def candidate(name: str, joules: float | None) -> dict[str, Any]:
    interval = joules and {"median": joules, "low": 0.9 * joules, "high": 1.1 * joules}
    energy = {"joules": interval, "kind": "estimated", "method": "CPU time x 5 W", "note": "short"}
    return {"name": name, "energy": energy}


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    path = tmp_path / "proof.json"
    names = {"dense, ONNX Runtime": 0.2, "int8": 0.1, "sparse, Gossamer": 0.05}
    text = json.dumps({"candidates": [candidate(*one) for one in names.items()]})
    path.write_text(text, encoding="utf-8")
    return path


def test_one_file_holds_both(proof: Path) -> None:
    dense, sparse = compared_joules(proof)
    assert (dense.model, dense.median) == ("dense, ONNX Runtime", 0.2)
    assert (sparse.model, sparse.median) == ("sparse, Gossamer", 0.05)
    assert (sparse.low, sparse.high) == pytest.approx((0.045, 0.055))
    assert (sparse.kind, sparse.method) == ("estimated", "CPU time x 5 W")


def test_a_comparison_may_come_from_python(proof: Path) -> None:
    told = json.loads(proof.read_text(encoding="utf-8"))
    assert compared_joules(told) == compared_joules(proof)


def test_two_files_give_one_each(proof: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(
        json.dumps({"candidates": [candidate("dense", 9.0), candidate("sparser", 0.01)]}),
        encoding="utf-8",
    )
    dense, sparse = compared_joules(proof, other)
    assert (dense.median, sparse.median) == (0.2, 0.01)


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"candidates": []}', '{"candidates": [{"name": "x"}]}', "3"]
)
def test_what_is_no_comparison(tmp_path: Path, text: str) -> None:
    path = tmp_path / "no.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match="holds no comparison; give what `gossamer compare"):
        compared_joules(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        compared_joules(tmp_path / "gone.json")
    path = tmp_path / "broken.json"
    for text in ("{", "[" * 100_000):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ScenarioError, match="cannot be read"):
            compared_joules(path)


@pytest.mark.parametrize(("joules", "says"), [(None, "no energy of 'a' .short."), (-1.0, "says")])
def test_a_comparison_without_energy(tmp_path: Path, joules: float | None, says: str) -> None:
    path = tmp_path / "none.json"
    path.write_text(json.dumps({"candidates": [candidate("a", joules)]}), encoding="utf-8")
    with pytest.raises(ScenarioError, match=says):
        compared_joules(path)
