"""A placement: which access point runs which task, how they send, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer.edge.problem import Problem

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Placement:
    """What a method found.

    Attributes:
        support: boolean `[N, K]`, True where an access point runs a task.
        beams: complex `[N, K, L]`, beamformers in the square root of watts, zero off the support.
        transmit_w: watts that sending draws.
        compute_w: watts of computing.
        sinr: `[K]`, as ratios.
        scan: of the supports looked at one after the other, how many tasks were placed and the
            total watts, from the fullest to the sparsest feasible one; empty where none were.
        history: the objective of stage 1 before the first step and after each; empty where there
            was no stage 1.
        solves: cone programmes solved on the way.
    """

    support: Array
    beams: Array
    transmit_w: float
    compute_w: float
    sinr: Array
    scan: tuple[tuple[int, float], ...] = ()
    history: tuple[float, ...] = ()
    solves: int = 0

    @property
    def total_w(self) -> float:
        """Watts of sending and computing."""
        return self.transmit_w + self.compute_w

    @property
    def placed(self) -> int:
        """How many tasks run, one that runs at two access points counted twice."""
        return int(self.support.sum())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the beamformers as JSON-ready values; SINR in decibels."""
        return {
            "total_w": self.total_w,
            "transmit_w": self.transmit_w,
            "compute_w": self.compute_w,
            "placed": self.placed,
            "support": self.support.astype(int).tolist(),
            "sinr_db": (10 * np.log10(self.sinr)).tolist(),
            "scan": [list(point) for point in self.scan],
            "history": list(self.history),
            "solves": self.solves,
        }


def placement(
    problem: Problem,
    support: Array,
    beams: Array,
    *,
    scan: Sequence[tuple[int, float]] = (),
    history: Sequence[float] = (),
    solves: int = 0,
) -> Placement:
    """Return the placement of beamformers on a support, with what it takes."""
    return Placement(
        support=support,
        beams=beams,
        transmit_w=problem.network.transmit_w(beams),
        compute_w=float(problem.compute_w[support].sum()),
        sinr=problem.network.sinr(beams),
        scan=tuple(scan),
        history=tuple(history),
        solves=solves,
    )
