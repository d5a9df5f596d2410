"""What joules mean elsewhere: grams of CO2 from the grid, and money."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gossamer import arguments
from gossamer.errors import OptionError

JOULES_PER_KWH = 3.6e6
_SOURCE = "Our World in Data, from Ember and the Energy Institute"


@dataclass(frozen=True)
class Grid:
    """How much greenhouse gas a kilowatt-hour of electricity stands for.

    Attributes:
        grams_per_kwh: of CO2 equivalents.
        source: of this figure, with country and year.
    """

    grams_per_kwh: float
    source: str

    def grams(self, joules: float) -> float:
        """Return the grams of CO2 equivalents of so many joules."""
        return joules / JOULES_PER_KWH * self.grams_per_kwh


def grid_of(country: str) -> Grid:
    """Return the yearly mean of a country's electricity.

    Args:
        country: two or three letters of ISO 3166, such as "DE" or "DEU", or the English name.

    Raises:
        OptionError: if the country is not in the list.
    """
    found = _countries().get(country.strip().casefold())
    if found is None:
        raise OptionError(
            f"country {country!r} is not in the list; give two letters such as DE, or the grid's "
            "intensity in grams per kWh"
        )
    return found


def given_grid(grams_per_kwh: float) -> Grid:
    """Return the grid of a figure that the user knows.

    Raises:
        OptionError: if it is negative or no number.
    """
    wanted = "grams of CO2 per kWh, 0 or more"
    grams = arguments.number("the carbon intensity", grams_per_kwh, lambda it: it >= 0, wanted)
    return Grid(grams, "as given")


def cost(joules: float, price_per_kwh: float) -> float:
    """Return what so many joules cost, in the currency of the price."""
    return joules / JOULES_PER_KWH * price_per_kwh


@cache
def _countries() -> dict[str, Grid]:
    text = resources.files(__package__).joinpath("grid_intensity.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        grid = Grid(float(row["grams_per_kwh"]), f"{row['country']}, {row['year']}: {_SOURCE}")
        for name in (row["alpha_2"], row["alpha_3"], row["country"]):
            found[name.casefold()] = grid
    return found
