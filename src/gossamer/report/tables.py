"""Tables and notes for the terminal, in whatever width it has."""

from __future__ import annotations

import textwrap

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# Names are broken into pieces no shorter than this.
_NAME = 16
_BOUNDLESS = 10_000


def new_table(first: str, *others: str) -> Table:
    """Return an empty table: a first column of names, and others of numbers."""
    table = Table(header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right")
    return table


def print_parts(console: Console | None, *parts: Table | str) -> None:
    """Print tables and notes one below the other; standard output is where to by default."""
    console = console or Console()
    for part in parts:
        if isinstance(part, str):
            print_note(console, part)
        else:
            _print_table(console, part)


def print_note(console: Console, note: str) -> None:
    """Print a text, wrapped between words: a path is never broken, so that it can be copied."""
    lines = textwrap.wrap(note, console.width, break_long_words=False, break_on_hyphens=False)
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _print_table(console: Console, table: Table) -> None:
    # A line between head and body helps the eye, and is in the way of other programs.
    table.box = box.SIMPLE_HEAD if console.is_terminal else None
    table.show_edge = False
    left_out = _fit(console, table)
    console.print(table)
    if left_out:
        print_note(console, f"A wider terminal, or --json, also shows: {', '.join(left_out)}.")
    console.print()


def _fit(console: Console, table: Table) -> list[str]:
    """Leave out columns from the right until no number must be broken; return their headers."""

    # What it would take, however wide the terminal is.
    boundless = console.options.update(max_width=_BOUNDLESS)

    def widest(index: int) -> int:
        column = table.columns[index]
        cells = [Measurement.get(console, boundless, cell).maximum for cell in column.cells]
        # Headers may be broken between words.
        return max(Measurement.get(console, boundless, column.header).minimum, *cells, 1)

    for index, column in enumerate(table.columns):
        column.min_width = widest(index) if index else min(_NAME, widest(0))
    gap = 2 if table.box else 1
    left_out: list[str] = []
    while len(table.columns) > 2:
        widths = [column.min_width or 0 for column in table.columns]
        if sum(widths) + gap * (len(widths) - 1) <= console.width:
            break
        left_out.insert(0, " ".join(str(table.columns.pop().header).split()))
    return left_out
