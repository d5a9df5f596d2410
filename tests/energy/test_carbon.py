"""Joules as grams of CO2 and as money, with the source of every figure."""

from __future__ import annotations

import pytest

from gossamer.energy.carbon import cost, given_grid, grid_of
from gossamer.errors import OptionError


@pytest.mark.parametrize("country", ["DE", "deu", "Germany", " de "])
def test_a_country_is_known_by_its_letters_or_its_name(country: str) -> None:
    grid = grid_of(country)
    assert grid.grams_per_kwh == 381
    assert grid.source == "Germany, 2023: Our World in Data, from Ember and the Energy Institute"


def test_a_kilowatt_hour_is_3_6_million_joules() -> None:
    assert given_grid(400).grams(3.6e6) == pytest.approx(400)
    assert cost(1.8e6, 0.30) == pytest.approx(0.15)
    assert given_grid(400).source == "as given"


def test_a_country_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(OptionError, match=r"country 'Atlantis' is not in the list; give two"):
        grid_of("Atlantis")


@pytest.mark.parametrize("grams", [-1, float("nan"), float("inf")])
def test_what_is_no_intensity_is_refused(grams: float) -> None:
    with pytest.raises(OptionError, match=r"the carbon intensity is .*; give grams"):
        given_grid(grams)
