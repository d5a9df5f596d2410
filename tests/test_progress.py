"""Progress: a bar where one can be drawn, and lines elsewhere."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from gossamer import progress
from gossamer.errors import OptionError
from gossamer.progress import Silent, by_fraction, showing


def test_without_a_terminal_each_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(True) as shown:
        shown.start("solving", 4)
        shown.advance()
        shown.tell("trial 1: fine")
    captured = capsys.readouterr()
    assert captured.err == "[ 0:00] solving\n[ 0:00] trial 1: fine\n" and captured.out == ""


def test_a_stage_that_says_nothing_is_told_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SILENCE", 0.01)
    with showing(True) as shown:
        shown.start("solving", 4)
        shown.advance(3)
        err = ""
        while "still" not in err:
            err += capsys.readouterr().err
    assert "[ 0:00] still solving, 75 %" in err


@pytest.mark.parametrize("given", [False, None])
def test_silence(given: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    with showing(given) as shown:
        shown.start("solving", 1)
        shown.advance()
        shown.tell("trial")
    assert capsys.readouterr() == ("", "")


def test_anything_else_is_refused() -> None:
    for given in ("yes", [], 0.5):
        with pytest.raises(OptionError, match="give True, False or a function"), showing(given):  # type: ignore[arg-type]
            pytest.fail("the block must not run")


def test_what_is_a_progress_already_is_told_itself() -> None:
    own = Silent()
    with showing(own) as shown:
        assert shown is own


def test_a_function_is_told_the_fraction_of_what_can_be_counted() -> None:
    told: list[float] = []
    with showing(told.append) as shown:
        shown.start("compiling")
        shown.advance()
        fraction = by_fraction(shown, "measuring")
        for tenth in range(11):
            fraction(tenth / 10)
    assert told == pytest.approx([tenth / 10 for tenth in range(11)]) and told[-1] == 1.0


def test_a_terminal_has_a_bar_and_keeps_what_was_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with showing(True) as shown:
        shown.start("solving", 2)
        shown.advance()
        shown.tell("trial 1: fine [0.5]")
        shown.start("evaluating")
    assert "trial 1: fine [0.5]" in capsys.readouterr().err


class _Display(types.ModuleType):
    """What IPython gives to draw with."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.shown: list[dict[str, str]] = []

    def display(self, told: dict[str, str], *, raw: bool, display_id: bool) -> _Display:
        self.shown.append(told)
        return self

    def update(self, told: dict[str, str], *, raw: bool) -> None:
        self.shown.append(told)


def test_a_notebook_has_the_browsers_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = _Display()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setattr(progress, "_FRAME", -1.0)
    with showing(True) as shown:
        shown.start("solving <layers>", 2)
        shown.advance()
        shown.tell("trial 1")
    pictures = [one.get("text/html", "") for one in ipython.display.shown]
    assert '<progress value="0.500"></progress> solving &lt;layers&gt;' in pictures
    assert pictures[-1] == "trial 1"
