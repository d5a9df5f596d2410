"""A placement says what it takes, and turns into JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gossamer.edge.result import placement


def test_a_placement_adds_up(make_problem: Callable[..., Any]) -> None:
    problem = make_problem(0)
    support = problem.everywhere
    support[0, 0] = False
    found = placement(problem, support, problem.least_power(support), scan=[(5, 1.0)])
    assert found.placed == 5
    assert found.compute_w == pytest.approx(problem.compute_w[support].sum())
    assert found.total_w == found.transmit_w + found.compute_w
    told = json.loads(json.dumps(found.to_dict()))
    assert told["support"] == support.astype(int).tolist()
    assert told["sinr_db"] == pytest.approx([3.0, 3.0], abs=0.01)
    assert told["scan"] == [[5, 1.0]]
    assert "beams" not in told
