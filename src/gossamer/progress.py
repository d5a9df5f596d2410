"""How far long work is: a bar on a terminal or in a notebook, and lines elsewhere.

All of it goes to standard error, so that results stay alone on standard output.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from gossamer.errors import OptionError, shown

# Seconds after which, where there is no bar, a line says that a stage still goes on.
_SILENCE = 60.0
# Seconds between two pictures of a notebook's bar.
_FRAME = 0.2


@runtime_checkable
class Progress(Protocol):
    """Told how far the work is."""

    def start(self, description: str, total: float | None = None) -> None:
        """Begin a stage of so many steps; None where nobody knows how many."""
        ...

    def advance(self, steps: float = 1) -> None:
        """So many steps of the stage are done."""
        ...

    def tell(self, line: str) -> None:
        """Something that is to be read afterwards too."""
        ...


Fraction: TypeAlias = Callable[[float], None]
"""Is told the fraction of something done, 0 to 1."""

ProgressLike: TypeAlias = "bool | Progress | Fraction | None"
"""What verbs take for `progress`: True to show it, False or None for silence, or what is told."""


class Silent:
    """Shows nothing."""

    def start(self, description: str, total: float | None = None) -> None:
        """Show nothing."""

    def advance(self, steps: float = 1) -> None:
        """Show nothing."""

    def tell(self, line: str) -> None:
        """Show nothing."""


@contextmanager
def showing(given: ProgressLike = True) -> Iterator[Progress]:
    """Yield what is told how far the work is, while the block runs.

    Args:
        given: True for a bar where standard error is a terminal or the code runs in a notebook, and
            elsewhere a line for each stage and each minute; False or None for nothing; a
            `Progress`, which is yielded as it is; or a function that is told the fraction done of
            each stage whose number of steps is known.

    Raises:
        OptionError: if it is none of these.
    """
    if isinstance(given, Progress):
        yield given
    elif callable(given):
        yield _Fractions(given)
    elif not (given is None or isinstance(given, int)):
        raise OptionError(
            f"progress is {shown(given)}; give True, False or a function that is told the fraction"
        )
    elif not given:
        yield Silent()
    elif _notebook() is not None:
        with _NotebookBar() as bar:
            yield bar
    elif sys.stderr.isatty():
        with _TerminalBar() as bar:
            yield bar
    else:
        with _Lines() as lines:
            yield lines


def by_fraction(progress: Progress, description: str) -> Fraction:
    """Begin a stage; return what is told the fraction of it done."""
    progress.start(description, 1.0)
    told = 0.0

    def tell(fraction: float) -> None:
        nonlocal told
        progress.advance(fraction - told)
        told = fraction

    return tell


class _Fractions(Silent):
    """Tells a function the fraction done."""

    def __init__(self, told: Fraction) -> None:
        self._told = told
        self._total: float | None = None
        self._done = 0.0

    def start(self, description: str, total: float | None = None) -> None:
        """Begin at nothing."""
        self._total, self._done = total, 0.0

    def advance(self, steps: float = 1) -> None:
        """Tell how far it is now."""
        self._done += steps
        if self._total:
            # Steps may be fractions, whose sum is not quite what they are of.
            self._told(min(1.0, round(self._done / self._total, 12)))


class _TerminalBar:
    """One bar, which each stage starts anew; what is told stays above it."""

    def __init__(self) -> None:
        import rich.progress
        from rich.console import Console

        self._bars = rich.progress.Progress(
            *rich.progress.Progress.get_default_columns(),
            rich.progress.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bars.add_task("", total=None)

    def __enter__(self) -> _TerminalBar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, description: str, total: float | None = None) -> None:
        """Begin a stage."""
        self._bars.remove_task(self._task)
        # What has no number of steps only shows that something goes on.
        self._task = self._bars.add_task(description, total=total)

    def advance(self, steps: float = 1) -> None:
        """Move on."""
        self._bars.advance(self._task, steps)

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        self._bars.console.print(line, markup=False, highlight=False)


class _Stage:
    """A stage that is shown in words."""

    def __init__(self) -> None:
        self._description = ""
        self._total: float | None = None
        self._done = 0.0

    def start(self, description: str, total: float | None = None) -> None:
        """Begin a stage."""
        self._description, self._total, self._done = description, total, 0.0

    def advance(self, steps: float = 1) -> None:
        """Move on."""
        self._done += steps

    @property
    def fraction(self) -> float | None:
        """How much of the stage is done, where it is known: 0 to 1."""
        return min(1.0, self._done / self._total) if self._total else None

    def __str__(self) -> str:
        fraction = self.fraction
        return self._description + (f", {100 * fraction:.0f} %" if fraction else "")


class _Lines(_Stage):
    """A line for each stage, and for each minute in which nothing else was said."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._said = threading.Condition()
        self._ended = False
        self._watch = threading.Thread(target=self._go_on, name="progress", daemon=True)

    def __enter__(self) -> _Lines:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._said:
            self._ended = True
            self._said.notify()
        self._watch.join()

    def start(self, description: str, total: float | None = None) -> None:
        """Say what begins."""
        super().start(description, total)
        self.tell(description)

    def tell(self, line: str) -> None:
        """Print a line with the minutes and seconds gone by."""
        with self._said:
            self._print(line)
            self._said.notify()

    def _print(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {line}", file=sys.stderr, flush=True)

    def _go_on(self) -> None:
        with self._said:
            while not self._ended:
                if not self._said.wait(_SILENCE):
                    self._print(f"still {self}")


class _NotebookBar(_Stage):
    """The browser's own bar, with what was told above it."""

    def __init__(self) -> None:
        super().__init__()
        self._display = _notebook()
        self._handle: Any = None
        self._lines: list[str] = []
        self._shown = 0.0

    def __enter__(self) -> _NotebookBar:
        self._handle = self._display.display({"text/plain": ""}, raw=True, display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._description = ""
        self._show()

    def start(self, description: str, total: float | None = None) -> None:
        """Begin a stage."""
        super().start(description, total)
        self._show()

    def advance(self, steps: float = 1) -> None:
        """Move on."""
        super().advance(steps)
        if time.monotonic() - self._shown > _FRAME:
            self._show()

    def tell(self, line: str) -> None:
        """Put a line above the bar."""
        self._lines.append(line)
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        words = [html.escape(line) for line in self._lines]
        plain = list(self._lines)
        if self._description:
            fraction = self.fraction
            value = "" if fraction is None else f' value="{fraction:.3f}"'
            words.append(f"<progress{value}></progress> {html.escape(self._description)}")
            plain.append(str(self))
        told = {"text/html": "<br>".join(words), "text/plain": "\n".join(plain)}
        self._handle.update(told, raw=True)


def _notebook() -> Any:
    """Return IPython's display module if the code runs in a notebook, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return None
    import IPython.display

    return IPython.display
