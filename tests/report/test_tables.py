"""Tables and notes in whatever width the terminal has."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gossamer.report.tables import new_table, print_note, print_parts


def _printed(width: int, terminal: bool = False) -> list[str]:
    table = new_table("layer", "kind", "multiply\nadds", "bytes")
    table.add_row("encoder.layers.0.attention", "linear", "1,234,567", "32.8 kB")
    table.add_row("head", "linear", "12", "4.1 kB")
    console = Console(
        file=io.StringIO(), width=width, record=True, force_terminal=terminal, color_system=None
    )
    print_parts(console, table, "Two layers.")
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_wide_terminal_shows_all_of_it() -> None:
    assert _printed(80) == [
        "                                   multiply",
        "layer                        kind      adds   bytes",
        "encoder.layers.0.attention linear 1,234,567 32.8 kB",
        "head                       linear        12  4.1 kB",
        "",
        "Two layers.",
    ]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", range(26, 60, 3))
def test_in_a_narrow_one_no_number_is_broken(width: int, terminal: bool) -> None:
    lines = _printed(width, terminal)
    text = " ".join(" ".join(lines).split())
    for header, cells in (("adds", ("1,234,567", "12")), ("bytes", ("32.8 kB", "4.1 kB"))):
        shown = all(any(cell in line for line in lines) for cell in cells)
        assert shown != ("also shows" in text and header in text.split("also shows")[1])
    assert "linear" in text and "Two layers." in text
    # Notes have no words longer than that.
    assert all(len(line) <= width for line in lines)


def test_a_note_is_wrapped_between_words_and_a_path_is_never_broken() -> None:
    console = Console(width=30, record=True, file=io.StringIO())
    path = "/tmp/a-folder-with-quite-a-long-name/report.html"
    print_note(console, f"The report to look at, in a browser: {path}")
    assert console.export_text().splitlines() == ["The report to look at, in a", "browser:", path]
