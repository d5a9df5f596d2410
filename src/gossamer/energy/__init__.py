"""Measuring models against each other: time, CPU seconds, energy, memory and bytes, in turn."""

from __future__ import annotations

from gossamer.energy.candidate import Candidate
from gossamer.energy.compare import measure
from gossamer.energy.comparison import CandidateResult, Comparison
from gossamer.energy.statistics import Interval

__all__ = ["Candidate", "CandidateResult", "Comparison", "Interval", "measure"]
