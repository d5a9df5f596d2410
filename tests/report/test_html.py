"""What the HTML report says, and what it refuses to write."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from gossamer.errors import OptionError, OutputError
from gossamer.report.html import Card, cards, check_report, headline, render, write_report

pytest.importorskip("altair")
pytest.importorskip("vl_convert")


def words(page: str) -> str:
    """Return what is to be read of a page, its scripts and styles left out."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def with_gain(proof: dict[str, Any], low: float, median: float, high: float, verdict: str) -> Any:
    last = proof["candidates"][-1]
    last["gains"]["energy"] = {"median": median, "low": low, "high": high}
    last["energy_verdict"] = verdict
    return proof


def test_the_verdict_is_one_sentence_with_its_interval(proof: dict[str, Any]) -> None:
    sentence, beside = headline(proof)
    assert sentence == (
        "The sparse model in Gossamer takes 2.00 times less estimated energy than the dense model "
        "in ONNX Runtime."
    )
    assert beside == (
        "95 % interval 1.96 to 2.04 times less, over 57 turns; latency: 2.00 times faster "
        "(1.96 to 2.04)."
    )


def test_more_energy_is_said_to_be_more(proof: dict[str, Any]) -> None:
    sentence, _ = headline(with_gain(proof, 0.45, 0.5, 0.55, "2.00 times more"))
    assert "takes 2.00 times more estimated energy than" in sentence


def test_no_gain_and_not_significant_are_said_in_these_words(proof: dict[str, Any]) -> None:
    sentence, beside = headline(with_gain(proof, 0.99, 1.0, 1.01, "no gain"))
    assert sentence.startswith("No gain: the sparse model in Gossamer takes as much")
    assert beside.startswith("95 % interval 0.990 to 1.01 times;")
    sentence, _ = headline(with_gain(proof, 0.9, 1.1, 1.3, "not significant"))
    assert sentence.startswith("Not significant: whether the sparse model in Gossamer takes less")


def test_the_cards_tell_energy_latency_memory_file_and_accuracy(proof: dict[str, Any]) -> None:
    assert cards(proof) == [
        Card("Energy", "2.00x less", "120 mJ to 60.0 mJ, estimated", "good"),
        Card("Latency", "2.00x less", "12.0 ms to 6.00 ms", "good"),
        Card("Memory", "3.00x less", "180 MB to 60.0 MB", "good"),
        Card("File", "3.00x less", "90.0 MB to 30.0 MB", "good"),
        Card("Accuracy", "-0.01", "0.95 to 0.94; 95 % interval -0.022 to +0.002", "plain"),
    ]


def test_what_was_not_measured_is_said_on_its_card(proof: dict[str, Any]) -> None:
    proof["scores"] = None
    last = proof["candidates"][-1]
    last["gains"]["peak_memory_bytes"] = None
    last["peak_memory"] = {"bytes": None, "method": "not measured: took too long"}
    found = {card.title: card for card in cards(proof)}
    assert found["Memory"] == Card("Memory", "not measured", "took too long")
    assert found["Accuracy"].value == "not measured"


@pytest.mark.parametrize("verdict", ["no gain", "not significant"])
def test_a_card_says_what_the_verdict_says(proof: dict[str, Any], verdict: str) -> None:
    found = cards(with_gain(proof, 0.6, 1.3, 2.0, verdict))
    assert (found[0].value, found[0].tone) == (verdict, "plain")
    # A small gain that is sure is told as one, as the headline tells it.
    small = cards(with_gain(proof, 1.01, 1.05, 1.10, "1.05 times less (1.01 to 1.10)"))
    assert (small[0].value, small[0].tone) == ("1.05x less", "good")


def test_accuracy_is_that_of_the_search_where_no_other_was_given(proof: dict[str, Any]) -> None:
    proof["scores"] = None
    proof["sparsified"] |= {
        "final_score": 0.93,
        "final_dense_score": 0.95,
        "final_drop": 0.02,
        "final_drop_interval": [0.01, 0.03],
    }
    assert cards(proof)[-1] == Card(
        "Accuracy", "-0.02", "0.95 to 0.93; 95 % interval -0.03 to -0.01", "bad"
    )


def test_the_page_says_everything_and_how_it_was_measured(proof: dict[str, Any]) -> None:
    page = render(proof)
    text = words(page)
    for said in (
        "int8, ONNX Runtime takes less energy still.",
        "The pruned layers hold 7.6 % of the model's weights.",
        "Every model that the search tried",
        "encoder.layer.3.<dense> 590 k 56.0 % 100 µs 3.6 % - 0.0 %",
        "everything else 2.00 ms 2.00 ms",
        "sparsity 66.0 % over the layers that may be pruned, 31.0 % over the whole model",
        "it is repaid after 72 000",
        "381 g of CO2 equivalents a kWh: Germany, 2023: Our World in Data.",
        "One inference is input_ids 1 x 128, attention_mask 1 x 128.",
        "Candidates in turn after warm-up on the same inputs: 57 turns of each.",
        "estimated: busy CPU seconds x 5 W per core",
        "A Processor, cores: 2, Linux x86_64",
        "1.0 % of the cores' time",
        "in a process of its own, the dense model takes 11.5 ms",
        "Score: dense 0.9500, sparse 0.9400, drop +0.0100, 95 % interval -0.0020 to +0.0220.",
    ):
        assert said in text
    assert len(page) < 3_000_000


def test_a_page_needs_nothing_from_elsewhere(proof: dict[str, Any]) -> None:
    page = re.sub(r"<script\b.*?</script>", " ", render(proof), flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page


def test_names_cannot_end_what_they_stand_in(proof: dict[str, Any]) -> None:
    evil = "</script><script>alert(1)</script><!--"
    proof["candidates"][0]["name"] = evil
    page = render(proof)
    assert evil not in page
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data) == proof


def test_any_comparison_can_be_shown(proof: dict[str, Any]) -> None:
    common = ["protocol", "rounds", "noise", "noisy_windows", "notes", "inputs"]
    common += ["environment", "candidates"]
    text = words(render({name: proof[name] for name in common}))
    assert "Layer by layer" not in text
    assert "Accuracy not measured no evaluation was given" in text
    alone = {name: proof[name] for name in common} | {"candidates": proof["candidates"][:1]}
    assert "dense, ONNX Runtime, measured" in words(render(alone))


def test_a_report_replaces_an_older_one(proof: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(proof, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


# Bad input


def test_a_place_that_cannot_be_written_is_known_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        check_report(tmp_path)
    with pytest.raises(OutputError, match="does not exist; make it"):
        check_report(tmp_path / "gone" / "report.html")
    monkeypatch.setattr("gossamer.report.html.os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot be written; choose"):
        check_report(tmp_path / "report.html")


def test_missing_packages_are_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "vl_convert", missing)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "vl_" in name else object)
    with pytest.raises(OptionError, match=r"needs vl-convert-python; .*gossamer\[report\]"):
        check_report(tmp_path / "report.html")
