"""A machine that is not quiet is noticed, and said to be so."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from gossamer.energy.noise import Noise, Watch

QUIET = Noise(others=0.01, stolen=0.0, spread=0.02, drift=0.01, noisy_windows=0.0)


def test_a_quiet_machine_is_not_talked_about() -> None:
    assert QUIET.warnings == ()
    assert Noise(None, None, None, None, 0.0).warnings == ()


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        ("others", 0.3, "other programs used 30 %"),
        ("stolen", 0.05, "The host took 5 %"),
        ("spread", 0.25, "differ by 25 %"),
        ("drift", 0.08, "8 % slower"),
        ("drift", -0.08, "8 % faster"),
        ("noisy_windows", 0.5, "50 % of the turns began while this process was busy"),
    ],
)
def test_each_disturbance_has_a_sentence(figure: str, value: float, said: str) -> None:
    (warning,) = Noise(**{**vars(QUIET), figure: value}).warnings
    assert said in warning


def test_spread_and_drift_are_of_the_first_candidate() -> None:
    steady = Watch().noise(np.full(30, 0.01), 0.0)
    assert (steady.spread, steady.drift) == (0.0, 0.0)
    slower = Watch().noise(np.repeat([1.0, 1.1, 1.2], 10), 0.0)
    assert slower.drift == pytest.approx(0.2)
    few = Watch().noise(np.array([1.0, 2.0]), 0.25)
    assert (few.spread, few.drift, few.noisy_windows) == (None, None, 0.25)


def test_another_program_is_noticed_and_this_one_is_not_counted() -> None:
    code = "import time\nwhile time.process_time() < 2.0: pass"
    watch = Watch()
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        end = time.perf_counter() + 1.5
        while time.perf_counter() < end:
            pass
        noise = watch.noise(np.full(30, 0.01), 0.0)
        other.kill()
    assert noise.others is not None
    assert noise.others > 0.1
