"""Dropout, which does nothing outside training."""

from __future__ import annotations

from gossamer.graphs.axes import along
from gossamer.graphs.elementwise import same
from gossamer.graphs.operator import Operator

OPERATORS = {"Dropout": Operator(same, along, is_random=True)}
