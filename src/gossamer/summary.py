"""What results look like where they are looked at: a line in a shell, a table in a notebook."""

from __future__ import annotations

import html
from abc import abstractmethod


class Summary:
    """Shows `summary()` instead of everything that an object holds.

    Dataclasses need `repr=False`, or they write a `__repr__` of their own.
    """

    @abstractmethod
    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words, by what it is of."""

    def __repr__(self) -> str:
        told = "; ".join(f"{label}: {words}" for label, words in self.summary().items())
        return f"<{type(self).__name__} {told}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(words)}</td></tr>"
            for label, words in self.summary().items()
        )
        return f"<table><caption>{html.escape(type(self).__name__)}</caption>{rows}</table>"
