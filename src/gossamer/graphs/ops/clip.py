"""Clip: between two bounds."""

from __future__ import annotations

from gossamer.graphs.axes import along
from gossamer.graphs.elementwise import same
from gossamer.graphs.operator import Operator

OPERATORS = {"Clip": Operator(same, along)}
