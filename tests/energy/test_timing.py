"""Turns: who runs when, for how long, and what is charged to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from gossamer.energy import timing
from gossamer.energy.meters import Panel
from gossamer.energy.timing import Timings, wait_until_quiet


def take_turns(runs: Sequence[timing.Run], **options: Any) -> Timings:
    """Take turns until there are enough rounds, whatever they say."""
    given: dict[str, Any] = {
        "panel": Panel([]),
        "cycle": 1,
        "min_time": 0,
        "max_time": 60,
        "min_rounds": 1,
        "enough": lambda timings: True,
        "progress": silent,
    }
    return timing.take_turns(runs, **given | options)


def work(seconds: float) -> None:
    """Keep one core busy for so much CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def silent(fraction: float) -> None:
    """Take no notice of the progress."""


@contextmanager
def busy_thread() -> Iterator[None]:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("short")
def test_candidates_take_turns_in_order() -> None:
    calls: list[str] = []

    def candidate(name: str) -> timing.Run:
        def run() -> None:
            calls.append(name)
            time.sleep(0.005)

        return run

    found = take_turns([candidate(name) for name in "ABC"], min_rounds=3)
    assert found.repeats == (1, 1, 1)
    assert "".join(calls).endswith("ABC" * 3)
    assert found.seconds.shape == found.cpu_seconds.shape == (3, 3)


@pytest.mark.usefixtures("short")
def test_cpu_time_counts_work_and_not_waiting() -> None:
    found = take_turns([lambda: work(0.005), lambda: time.sleep(0.005)], min_rounds=5)
    working, sleeping = found.cpu_seconds.T
    assert (working >= 0.005).all()
    assert (sleeping < 0.003).all()
    assert (found.seconds >= 0.005).all()


@pytest.mark.usefixtures("short")
def test_cpu_time_counts_every_thread() -> None:
    def run() -> None:
        threads = [threading.Thread(target=work, args=(0.004,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = take_turns([run], min_rounds=3)
    assert (found.cpu_seconds >= 0.008).all()


@pytest.mark.usefixtures("short")
def test_short_runs_repeat_until_the_window_is_long_and_in_whole_cycles() -> None:
    found = take_turns([lambda: time.sleep(0.0005)], cycle=3)
    (repeats,) = found.repeats
    assert repeats % 3 == 0
    assert 3 <= repeats <= 12
    assert found.seconds[0, 0] < 0.003


@pytest.mark.usefixtures("short")
def test_measuring_goes_on_until_the_time_is_up_and_reports_its_progress() -> None:
    told: list[float] = []
    start = time.perf_counter()
    found = take_turns(
        [lambda: time.sleep(0.005)], min_time=0.15, min_rounds=2, progress=told.append
    )
    assert time.perf_counter() - start >= 0.15
    assert len(found.seconds) > 2
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


@pytest.mark.usefixtures("short")
def test_measuring_ends_when_there_is_enough() -> None:
    asked: list[int] = []

    def enough(timings: Timings) -> bool:
        asked.append(len(timings.seconds))
        return len(timings.seconds) >= 40

    found = take_turns([lambda: time.sleep(0.004)], min_rounds=5, enough=enough)
    assert found.stopped == "enough"
    assert len(found.seconds) in range(40, 45)
    # Asking takes time, so it is done ever more seldom.
    assert asked[0] == 5
    assert len(asked) < 25


@pytest.mark.usefixtures("short")
def test_measuring_ends_when_time_is_up_but_not_before_one_round() -> None:
    found = take_turns([lambda: time.sleep(0.02)] * 2, max_time=0.0, min_rounds=50)
    assert found.stopped == "time"
    assert len(found.seconds) == 1


@pytest.mark.usefixtures("short")
def test_every_window_is_read_by_every_meter(counter: Any) -> None:
    panel = Panel([counter(8.0, "a"), counter(4.0, "b", fails_after=4)])
    found = take_turns(
        [lambda: time.sleep(0.01), lambda: time.sleep(0.02)], panel=panel, min_rounds=3
    )
    assert found.joules.shape == (3, 2, 2)
    assert np.allclose(found.joules[:, :, 0], 8.0 * found.seconds, rtol=0.3)
    assert np.isnan(found.joules[2, :, 1]).all()


@pytest.mark.usefixtures("short")
def test_windows_are_long_enough_for_the_slowest_meter(counter: Any) -> None:
    panel = Panel([counter(shortest_seconds=0.1)])
    found = take_turns([lambda: time.sleep(0.01)], panel=panel)
    assert found.repeats[0] * found.seconds[0, 0] >= 0.1


@pytest.mark.usefixtures("short")
def test_a_candidate_that_raises_ends_the_measuring_and_whole_rounds_are_kept() -> None:
    calls = iter(range(1000))

    def failing() -> None:
        time.sleep(0.005)
        if next(calls) >= 8:
            raise RuntimeError("out of memory")

    found = take_turns([lambda: time.sleep(0.005), failing], min_rounds=100)
    assert found.stopped == "failure"
    assert found.failure is not None
    index, error = found.failure
    assert (index, str(error)) == (1, "out of memory")
    assert 1 <= len(found.seconds) < 9
    assert found.seconds.shape[1] == 2


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look long enough to see a busy thread even where other programs crowd it off its core."""
    monkeypatch.setattr(timing, "_QUIET_SAMPLE_SECONDS", 0.03)


def test_a_quiet_process_is_quiet_at_once() -> None:
    assert any(wait_until_quiet() for _ in range(3))


@pytest.mark.usefixtures("patient")
def test_a_busy_thread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_QUIET_LIMIT_SECONDS", 0.02)
    with busy_thread():
        assert not wait_until_quiet()


@pytest.mark.usefixtures("patient")
def test_windows_wait_for_a_thread_that_still_spins() -> None:
    ended = time.perf_counter() + 0.1

    def spin() -> None:
        while time.perf_counter() < ended:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    assert wait_until_quiet()
    assert time.perf_counter() >= ended
    thread.join()


def test_windows_that_began_in_noise_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "wait_until_quiet", lambda: False)
    monkeypatch.setattr(timing, "_WARM_UP_SECONDS", 0.0)
    found = take_turns([lambda: time.sleep(0.06)] * 2, min_rounds=2)
    assert found.noisy_windows == 4
