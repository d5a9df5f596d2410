"""A plan runs alone where its first runs were as fast so."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.runtime import compile
from gossamer.runtime.solo import Solo


def run(solo: Solo, runs: int, alone: float, helped: float) -> list[bool]:
    """What is chosen when runs take so many seconds either way."""
    chosen = []
    for _ in range(runs):
        chosen.append(solo.alone)
        solo.note(alone if solo.alone else helped)
    return chosen


def test_a_short_plan_runs_alone() -> None:
    chosen = run(Solo(2), 30, alone=10e-6, helped=20e-6)
    assert chosen[:4] == [False, False, True, False]
    assert all(chosen[12:])


def test_a_plan_that_helpers_make_faster_keeps_them() -> None:
    chosen = run(Solo(2), 30, alone=200e-6, helped=110e-6)
    assert not any(chosen[12:])


def test_a_tie_goes_to_the_run_that_costs_half_the_cpu_time() -> None:
    assert run(Solo(2), 30, alone=105e-6, helped=100e-6)[-1]


def test_a_long_plan_is_never_tried_alone() -> None:
    assert not any(run(Solo(2), 30, alone=1e-6, helped=1e-3))


def test_one_thread_has_nobody_to_leave_out() -> None:
    assert not any(run(Solo(1), 30, alone=1e-6, helped=1e-3))


def test_outputs_are_the_same_either_way(model: Any) -> None:
    weight = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    small = model("(float[N, T, 8] x) => (float[N, T, 8] y) { y = MatMul(x, w) }", w=weight)
    session = compile(small, threads=2, engine="gossamer")
    x = np.random.default_rng(1).standard_normal((1, 5, 8)).astype(np.float32)
    first = session.run(None, {"x": x})[0]
    for _ in range(20):
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], first)
