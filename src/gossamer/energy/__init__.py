"""Measuring models against each other: time, CPU seconds, energy, memory and bytes, in turn."""

from __future__ import annotations

from gossamer.energy.candidate import Candidate
from gossamer.energy.carbon import Grid, given_grid, grid_of
from gossamer.energy.compare import measure
from gossamer.energy.comparison import CandidateResult, Comparison, Energy
from gossamer.energy.payback import Payback, payback
from gossamer.energy.spending import Spender, Spending
from gossamer.energy.statistics import Interval

__all__ = [
    "Candidate",
    "CandidateResult",
    "Comparison",
    "Energy",
    "Grid",
    "Interval",
    "Payback",
    "Spender",
    "Spending",
    "given_grid",
    "grid_of",
    "measure",
    "payback",
]
