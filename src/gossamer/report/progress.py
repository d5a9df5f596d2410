"""A progress bar for the terminal, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bar(description: str) -> Iterator[Callable[[float], None]]:
    """Show a bar while the block runs; yield what is told the fraction done, 0 to 1.

    The bar only shows that something goes on until it is first told a fraction.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda fraction: bars.update(task, total=1.0, completed=fraction)
