"""What the terminal shows of a sparse model and how it came about."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gossamer.report.sparsify import print_sparsify


def trial(cost: float, score: float, accepted: bool) -> dict[str, Any]:
    return {
        "asked": cost,
        "sparsity": 1 - cost,
        "cost": cost,
        "objective": "energy",
        "figures": {"cpu_seconds": 0.0246 * cost, "bytes": 9e6, "weights": 1e6},
        "score": score,
        "drop": 0.96 - score,
        "interval": [0.9 * (0.96 - score), 1.1 * (0.96 - score)],
        "accepted": accepted,
        "seconds": 4.2,
    }


def layer(name: str, sparsity: float) -> dict[str, Any]:
    return {
        "name": name,
        "rows": 384,
        "columns": 384,
        "zeros": round(147_456 * sparsity),
        "weights": 147_456,
        "sparsity": sparsity,
    }


TRIALS = [trial(0.5, 0.80, False), trial(0.75, 0.955, True), trial(0.8, 0.95, True)]
RESULT: dict[str, Any] = {
    "sparsity": 0.8,
    "model_sparsity": 0.374,
    "weights": 10_616_832,
    "model_weights": 22_713_216,
    "solver": "obs",
    "pattern": "unstructured",
    "allocation": "cost",
    "objective": "energy",
    "cost": 0.75,
    "max_drop": 0.01,
    "dense_score": 0.96,
    "score": 0.955,
    "drop": 0.005,
    "drop_interval": None,
    "final_dense_score": 0.97,
    "final_score": 0.962,
    "final_drop": 0.008,
    "final_drop_interval": [-0.001, 0.017],
    "drop_measured_on": "unseen data",
    "notes": ["Four layers were left dense."],
    "trials": TRIALS,
    "frontier": TRIALS[:2],
    "plan": {"a": {"pattern": "unstructured", "sparsity": 0.8}},
    "layers": [layer("encoder.layer.0.attention.self.query", 0.8)],
    "seconds": 33.3,
}


def shown(document: dict[str, Any], *, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, color_system=None)
    print_sparsify(document, console)
    return stream.getvalue()


def flat(document: dict[str, Any]) -> str:
    return " ".join(shown(document).split())


def test_layers_and_both_sparsities_are_shown() -> None:
    text = flat(RESULT)
    assert "encoder.layer.0.attention.self.query 384 x 384 147 k 118 k 80.0 %" in text
    assert "Sparsity 80.0 % over 10.6 M prunable weights, 37.4 % over the whole model's" in text
    assert "obs, unstructured, cost, 33.3 s." in text
    assert "Four layers were left dense." in text


def test_trials_go_from_dear_to_cheap_and_the_frontier_has_stars() -> None:
    text = flat(RESULT)
    first = text.index("80.0 % 19.7 ms 20.0 % 0.9500 +0.0100 +0.0110 yes 4.2 s")
    second = text.index("75.0 % 18.5 ms 25.0 % 0.9550 +0.0050 +0.0055 yes * 4.2 s")
    third = text.index("50.0 % 12.3 ms 50.0 % 0.8000 +0.1600 +0.1760 no * 4.2 s")
    assert first < second < third


def test_what_remains_is_said_of_what_and_how_it_is_known() -> None:
    assert (
        "75.0 % of the estimated energy of the dense model remains, as measured here layer by "
        "layer; gossamer compare measures the whole."
    ) in flat(RESULT)
    trials = [{**one, "objective": "bytes"} for one in TRIALS]
    text = flat({**RESULT, "objective": "bytes", "trials": trials})
    assert "75.0 % of the bytes of the dense model remains; gossamer compare" in text
    assert "9.00 MB" in text


def test_alike_layers_share_a_row_that_lists_what_each_got() -> None:
    layers = [
        layer(f"encoder.layer.{block}.{name}", sparsity)
        for block, sparsity in enumerate((0.5, 0.9, 0.0))
        for name in ("query.dense", "value.dense")
    ]
    text = flat({**RESULT, "layers": layers})
    assert "*.query (3) 384 x 384 442 k 206 k 46.7 % 50 90 0" in text
    many = [layer(f"layer.{block}.dense", 0.5 + block / 100) for block in range(24)]
    assert "50 to 73 %" in flat({**RESULT, "layers": many})


def test_several_patterns_are_counted() -> None:
    plan = {
        "a": {"pattern": "unstructured", "sparsity": 0.8},
        "b": {"pattern": "block:4x1", "sparsity": 0.8},
        "c": {"pattern": None, "sparsity": 0.0},
        "d": {"pattern": "block:4x1", "sparsity": 0.5},
    }
    assert "Layers: unstructured 1, block:4x1 2, dense 1." in flat({**RESULT, "plan": plan})


def test_the_drop_on_unseen_data_goes_before_the_one_of_the_search() -> None:
    text = flat(RESULT)
    assert "0.9700 dense, 0.9620 sparse: drop +0.0080 (-0.0010 to +0.0170), measured on " in text
    searched = {**RESULT, "final_score": None, "drop_measured_on": "the data of the search"}
    text = flat(searched)
    assert "0.9600 dense, 0.9550 sparse: drop +0.0050, measured on the data of the search" in text


def test_without_evaluation_there_is_no_score() -> None:
    alone = {**RESULT, "final_score": None, "score": None, "trials": [], "cost": None}
    text = shown(alone)
    assert "Score" not in text and "within" not in text and "remains" not in text


def test_all_fits_eighty_columns_and_is_plain_where_there_is_no_terminal() -> None:
    plain, pretty = shown(RESULT), shown(RESULT, terminal=True)
    assert max(map(len, plain.splitlines())) <= 80
    assert max(map(len, pretty.splitlines())) <= 80
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in pretty
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" not in plain
    assert "\x1b" not in plain and plain.isascii()
