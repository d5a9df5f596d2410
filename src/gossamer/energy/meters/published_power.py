"""Thermal design power of processors, as their makers publish it.

`processors.csv` holds TDP in watts and physical cores of common ones, from the makers' product
pages (Intel ARK, AMD). TDP is what the package may take for long with all cores busy: a round
figure for power per core, a little high for light work.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class PublishedPower:
    """A processor's name, TDP in watts, and physical cores."""

    name: str
    watts: float
    cores: int


def published_power(processor: str) -> PublishedPower | None:
    """Return what is published of a processor; None where its name is not in the list.

    Args:
        processor: as the system names it, such as "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz".
    """
    words = _words(processor)
    return next((known for key, known in _known() if f" {key} " in f" {words} "), None)


def _words(name: str) -> str:
    """Return a name in small letters, without what makers add to it."""
    return " ".join(re.sub(r"\((r|tm)\)|@|\bcpu\b|\bprocessor\b", " ", name.lower()).split())


@cache
def _known() -> list[tuple[str, PublishedPower]]:
    text = resources.files(__package__).joinpath("processors.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return [
        (_words(row["name"]), PublishedPower(row["name"], float(row["watts"]), int(row["cores"])))
        for row in rows
    ]
