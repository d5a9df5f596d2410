"""What a piece of work took is metered like an inference."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from typing import Any

import pytest

from gossamer.energy import Spender, Spending
from gossamer.errors import MeterError


def test_the_first_meter_that_measures_counts(counter: Any) -> None:
    spender = Spender([counter(100.0, "gone", fails_after=0), counter(8.0, "here")])
    time.sleep(0.05)
    spent = spender.spent()
    assert spent.joules == pytest.approx(0.4, rel=0.3)
    assert spent.kind == "measured"
    assert spent.method == "measured: 8 W whatever runs"
    assert spent.seconds == pytest.approx(0.05, rel=0.3)


def test_it_may_be_asked_again_as_the_work_goes_on(counter: Any) -> None:
    spender = Spender([counter(10.0)])
    time.sleep(0.05)
    first = spender.spent()
    time.sleep(0.05)
    second = spender.spent()
    assert second.joules > 1.5 * first.joules
    assert second.seconds > 1.5 * first.seconds


def test_a_gpu_that_cannot_be_metered_is_said(
    counter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "pynvml", missing)
    spent = Spender([counter(8.0)], gpu=0).spent()
    assert "; without the GPU: NVIDIA's management library is not installed" in spent.method


def test_a_gpu_is_added(counter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def of_torch(device: int) -> Any:
        made.append(device)
        return counter(100.0, "gpu")

    monkeypatch.setattr("gossamer.energy.spending.Nvml.of_torch", of_torch)
    spender = Spender([counter(10.0)], gpu=1)
    time.sleep(0.05)
    assert spender.spent().joules == pytest.approx(5.5, rel=0.3)
    assert made == [1]


def test_parts_add_up_and_an_estimate_makes_the_whole_one() -> None:
    part = Spending(3.0, "measured", "measured: by x", 1.0, 2.0)
    whole = part + part
    assert (whole.joules, whole.seconds, whole.cpu_seconds) == (6.0, 2.0, 4.0)
    assert (whole.kind, whole.method) == ("measured", "measured: by x")
    mixed = part + replace(part, kind="estimated", method="estimated: by y")
    assert (mixed.kind, mixed.method) == ("estimated", "measured: by x; estimated: by y")


def test_by_default_something_always_measures() -> None:
    assert Spender().spent().joules >= 0


def test_no_meter_at_all_is_said(counter: Any) -> None:
    with pytest.raises(MeterError, match="no meter measured: counter: the counter is gone"):
        Spender([counter(fails_after=0)]).spent()


def test_what_a_model_took_is_told_beside_it() -> None:
    spent = Spending(3.0, "estimated", "watts x seconds", 2.0, 1.0)
    assert Spending.told({"energy_spent": asdict(spent)}) == spent
    for others in (None, {}, {"energy_spent": None}, {"energy_spent": {"joules": 3.0}}):
        assert Spending.told(others) is None


@pytest.mark.parametrize(
    "wrong", [{"joules": None}, {"seconds": []}, {"joules": -1.0}, {"kind": "said"}, {"method": []}]
)
def test_a_note_of_other_values_is_none(wrong: dict[str, Any]) -> None:
    spent = Spending(3.0, "estimated", "watts x seconds", 2.0, 1.0)
    assert Spending.read(asdict(spent)) == spent
    assert Spending.read({**asdict(spent), **wrong}) is None
