"""The model card: the hub's metadata, and what was done and saved in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import gossamer as gs
from gossamer.errors import OptionError, OutputError
from gossamer.report.model_card import check_card, has_cards, model_card, write_card

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def result(small_onnx: Path) -> dict[str, Any]:
    return gs.sparsify(onnx.load(small_onnx), sparsity=0.75, solver="magnitude").to_dict()


def test_the_hub_reads_its_metadata(result: dict[str, Any], proof: dict[str, Any]) -> None:
    card = hub.ModelCard(model_card(result, proof, base_model="org/dense"))
    data = card.data.to_dict()
    assert data["library_name"] == "gossamer"
    assert data["base_model"] == "org/dense"
    assert data["sparsity"] == pytest.approx(0.75, abs=1e-3)
    assert "sparse" in data["tags"]
    assert data["co2_eq_emissions"]["emissions"] == 0.762
    assert data["co2_eq_emissions"]["source"].startswith("measured: by x; 381 g/kWh, Germany")
    assert data["co2_eq_emissions"]["hardware_used"] == "A Processor"


def test_it_says_how_the_model_was_made_and_what_it_saves(
    result: dict[str, Any], proof: dict[str, Any]
) -> None:
    text = " ".join(model_card(result, proof).split())
    assert "75.0 % of the 9.47 k weights in 2 layers are zero" in text
    assert "solver `magnitude`, pattern `unstructured` and allocation `uniform`" in text
    assert "| sparse, Gossamer | 6.00 ms | 60.0 mJ | 2.00 (1.96 to 2.04) | 30.0 MB |" in text
    assert "it is repaid after 72 000" in text
    assert 'gs.compile("model.gossamer.safetensors")' in text


def test_without_a_proof_it_claims_no_saving(result: dict[str, Any]) -> None:
    card = hub.ModelCard(model_card(result))
    assert "What it saves" not in card.text
    assert "co2_eq_emissions" not in card.data.to_dict()


def test_the_drop_is_told_with_what_it_was_measured_on(result: dict[str, Any]) -> None:
    result |= {
        "drop_measured_on": "unseen data",
        "final_dense_score": 0.95,
        "final_score": 0.94,
        "final_drop": 0.01,
        "final_drop_interval": [0.0, 0.02],
    }
    text = model_card(result)
    assert "a drop of +0.0100 (95 % interval +0.0000 to +0.0200), measured on unseen data." in text


def test_what_would_fail_later_is_known_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_card(tmp_path / "README.md", known=True)
    with pytest.raises(OptionError, match="nothing is known of how"):
        check_card(tmp_path / "README.md", known=False)
    with pytest.raises(OutputError, match="cannot be written; choose a folder"):
        check_card(tmp_path / "gone" / "README.md", known=True)


def test_it_is_written_to_a_file(result: dict[str, Any], tmp_path: Path) -> None:
    write_card(tmp_path / "README.md", result)
    assert (tmp_path / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_proof_that_knows_how_brings_it_with_it(
    result: dict[str, Any], proof: dict[str, Any]
) -> None:
    assert "75.0 % of" in model_card(None, proof | {"sparsified": result})


def test_a_model_that_nothing_is_known_of_has_no_card(proof: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="nothing is known of how"):
        model_card(None, proof | {"sparsified": None})


def test_the_package_that_is_needed_is_named(
    result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "huggingface_hub", missing)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not has_cards()
    with pytest.raises(OptionError, match=r"needs huggingface_hub; install"):
        model_card(result)
