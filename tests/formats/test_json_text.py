"""What is no JSON, in whatever way, is one kind of error."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossamer.formats.json_text import parse_json, read_json


def test_what_is_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text('{"name": "caf\u00e9"}', encoding="utf-8")
    assert read_json(path) == {"name": "caf\u00e9"}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
