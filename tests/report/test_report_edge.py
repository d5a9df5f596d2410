"""The tables of `gossamer edge` say what is saved, with intervals, and what could not be met."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from gossamer.report.edge import headline, notes, print_edge, target


def interval(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median}


def row(model: str, method: str, watts: float | None) -> dict[str, Any]:
    known = watts is not None
    return {
        "model": model,
        "method": method,
        "met": 10 if known else 7,
        "total_w": interval(watts) if watts is not None else None,
        "compute_w": 0.75 * watts if watts is not None else None,
        "transmit_w": 0.25 * watts if watts is not None else None,
        "placed": 4.0 if known else None,
    }


def point(decibels: float, saved: float | None) -> dict[str, Any]:
    return {
        "sinr_target_db": [decibels, decibels],
        "feasible": 10,
        "largest_common_sinr_db": [],
        "saving": saved and {"watts": interval(saved), "fraction": interval(0.5)},
        "rows": [
            row("dense", "refined", 4.0),
            row("dense", "strongest", None),
            row("sparse", "refined", 2.0),
            row("sparse", "strongest", None),
        ],
    }


@pytest.fixture
def study() -> dict[str, Any]:
    joules = {
        "median": 0.177,
        "low": 0.17,
        "high": 0.18,
        "kind": "estimated",
        "method": "estimated: CPU",
    }
    return {
        "models": ["dense", "sparse"],
        "methods": ["refined", "strongest"],
        "joules": {"dense": joules, "sparse": {**joules, "median": 0.064}},
        "realisations": 10,
        "undecided": 0,
        "points": [point(6, 2.0), point(0, 1.5)],
    }


@pytest.fixture
def alone(study: dict[str, Any]) -> dict[str, Any]:
    """The same without a comparison."""
    told = copy.deepcopy(study) | {"models": ["as given"], "joules": {}}
    told["points"] = [point(6, None)]
    told["points"][0]["rows"] = [row("as given", "refined", 4.0)]
    return told


def printed(study: dict[str, Any]) -> str:
    out = io.StringIO()
    print_edge(study, Console(file=out, width=100))
    return out.getvalue()


def test_the_headline_is_the_saving_of_the_whole_system(study: dict[str, Any]) -> None:
    assert headline(study) == (
        "With the sparse model the whole edge system saves 2.00 W (1.80 W to 2.20 W) at 6 dB, "
        "50.0 % (45.0 % to 55.0 %) of its power."
    )


def test_without_a_comparison_it_is_what_the_system_takes(alone: dict[str, Any]) -> None:
    assert headline(alone) == (
        "At 6 dB the edge system takes 4.00 W (3.60 W to 4.40 W): 3.00 W for computing and "
        "1.00 W for sending."
    )
    assert "saved" not in printed(alone)


def test_tables_have_a_row_for_each_method_and_target(study: dict[str, Any]) -> None:
    text = printed(study)
    assert "dense, 6 dB" in text and "sparse, 6 dB" in text
    lines = [line.split() for line in text.splitlines()]
    # By rising target, dense and sparse side by side.
    zero = next(line for line in lines if line[:2] == ["0", "dB"])
    assert zero[2:8] == ["4.00", "W", "2.00", "W", "1.50", "W"]
    # A method that met fewer targets has no figures, and says how many.
    assert any(line[-1:] == ["7/10"] and "-" in line for line in lines)


def test_figures_carry_how_they_were_made(study: dict[str, Any]) -> None:
    told = " ".join(notes(study))
    assert "An inference of the dense model: 177 mJ (170 mJ to 180 mJ), estimated: CPU." in told
    assert "Medians over 10 realisations with 95 % intervals" in told
    assert "sending is simulated" in told


def test_few_realisations_are_said_to_be_few(study: dict[str, Any]) -> None:
    assert not any("no interval of a median" in note for note in notes(study))
    study["points"][1] |= {"feasible": 5, "largest_common_sinr_db": [1.0] * 5}
    assert any("take more with --realisations" in note for note in notes(study))


def test_what_is_not_met_is_said(study: dict[str, Any]) -> None:
    study["points"][0] |= {"feasible": 8, "largest_common_sinr_db": [1.0, 3.0]}
    study["undecided"] = 2
    told = " ".join(notes(study))
    assert "6 dB cannot be met in 2 of 10 realisations" in told
    assert "3.0 dB (median)" in told
    assert "2 realisations are left out: no solver could decide them." in told


def test_own_targets_that_are_never_met(study: dict[str, Any]) -> None:
    study["points"][0] |= {
        "feasible": 0,
        "saving": None,
        "largest_common_sinr_db": [1.0] * 10,
        "rows": [row("dense", "refined", None)],
    }
    assert headline(study) == "At 6 dB no realisation meets every user's target."
    assert "dense, 6 dB" not in printed(study)


def test_targets_of_their_own_are_a_range() -> None:
    assert target({"sinr_target_db": [3.0, 6.5]}) == "3 to 6.5 dB"
