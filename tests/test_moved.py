"""Modules that moved still go by their old names, and say so."""

from __future__ import annotations

import importlib
import sys

import pytest

from gossamer.moved import MOVED


@pytest.fixture(autouse=True)
def unimported(monkeypatch: pytest.MonkeyPatch) -> None:
    for old in MOVED:
        monkeypatch.delitem(sys.modules, old, raising=False)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_the_old_name_is_the_same_module(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is {new} now"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(new)
    assert found.__name__ == new


def test_the_line_that_uses_the_old_name_is_told() -> None:
    from gossamer.verbs.compare import Proof

    with pytest.warns(DeprecationWarning) as told:
        from gossamer.proof import Proof as theirs
    assert [warning.filename for warning in told] == [__file__]
    assert theirs is Proof


def test_what_never_was_there_is_still_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"gossamer\.nothing"):
        importlib.import_module("gossamer.nothing")
