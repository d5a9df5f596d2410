"""A progress bar for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Told how far the work is."""

    def start(self, description: str, total: int) -> None:
        """Begin a stage of so many steps."""
        ...

    def advance(self) -> None:
        """One step of the stage is done."""
        ...


class _Silent:
    def start(self, description: str, total: int) -> None:
        """Show nothing."""

    def advance(self) -> None:
        """Show nothing."""


@contextmanager
def showing(progress: bool) -> Iterator[Progress]:
    """Yield a `Progress` that draws a bar on standard error, or nothing at all."""
    if not progress:
        yield _Silent()
        return
    import rich.progress
    from rich.console import Console

    class Bar:
        """One bar that each stage starts anew."""

        def __init__(self, bars: rich.progress.Progress) -> None:
            self._bars = bars
            self._task = bars.add_task("", total=None)

        def start(self, description: str, total: int) -> None:
            """Begin a stage."""
            self._bars.reset(self._task, description=description, total=total)

        def advance(self) -> None:
            """Move on by one."""
            self._bars.advance(self._task)

    with rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield Bar(bars)
