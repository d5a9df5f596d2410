from __future__ import annotations

from pathlib import Path

import pytest

from gossamer.errors import OptionError
from gossamer.models.python_file import is_function, load_function


def test_the_function_is_found_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def answer():\n    return 42\n")
    assert is_function(f"{file}:answer") and not is_function(str(file))
    assert load_function(f"{file}:answer")() == 42


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        ("", "missing", "no function 'missing'"),
        ("1 / 0", "f", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "f", r"fails when run: SystemExit: 0 at mine.py:1"),
        ("f = 3", "f", "no function 'f'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, function: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(OptionError, match=message):
        load_function(f"{file}:{function}")


def test_a_missing_file_or_another_form_is_refused() -> None:
    with pytest.raises(OptionError, match="does not exist"):
        load_function("nowhere.py:f")
    with pytest.raises(OptionError, match=r"FILE\.py:FUNCTION"):
        load_function("module:f")
