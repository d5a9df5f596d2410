"""The threads of a session: any number, after closing, after a fork."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import DataError
from gossamer.runtime import Session, compile

f32 = np.float32


@pytest.fixture
def session(model: Any, random: np.random.Generator) -> Session:
    return compile(
        model(
            "(float[N, 40] x) => (float[N, 30] y) { a = MatMul(x, w)  y = Relu(a) }",
            w=random.standard_normal((40, 30)),
        ),
        threads=3,
    )


X = np.random.default_rng(0).standard_normal((100, 40)).astype(f32)


def helpers() -> set[threading.Thread]:
    """The helpers of all sessions: those of a dropped one end a little later, at any time."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("gossamer-")}


def test_helpers_start_with_the_first_run_and_end_with_the_session(session: Session) -> None:
    before = helpers()
    (expected,) = session.run(None, {"x": X})
    mine = helpers() - before
    assert len(mine) == 2
    session.close()
    assert not any(helper.is_alive() for helper in mine)
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], expected)
    session.close()
    session.close()


def test_one_thread_starts_no_helper(model: Any) -> None:
    alone = compile(
        model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)), threads=1
    )
    before = helpers()
    alone.run(None, {"x": X[:, :4].copy()})
    assert helpers() <= before


def test_a_dropped_session_ends_its_helpers(model: Any) -> None:
    dropped = compile(
        model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)), threads=4
    )
    before = helpers()
    dropped.run(None, {"x": X[:, :4].copy()})
    mine = helpers() - before
    assert len(mine) == 3
    del dropped
    gc.collect()
    for helper in mine:
        helper.join(10)
        assert not helper.is_alive()


def test_every_number_of_threads_gives_the_same(model: Any, random: np.random.Generator) -> None:
    small = model(
        "(float[N, 40] x) => (float[N, 30] y) { y = MatMul(x, w) }",
        w=random.standard_normal((40, 30)),
    )
    expected = compile(small, threads=1).run(None, {"x": X})[0]
    for threads in (2, 3, 5, 8):
        with compile(small, threads=threads) as several:
            for _ in range(10):
                np.testing.assert_array_equal(several.run(None, {"x": X})[0], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_runs_in_a_child_after_a_fork(session: Session) -> None:
    (expected,) = session.run(None, {"x": X})
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        results.put(all(np.array_equal(session.run(None, {"x": X})[0], expected) for _ in range(5)))

    process = context.Process(target=child)
    process.start()
    assert results.get(timeout=30)
    process.join(30)
    assert process.exitcode == 0
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_runs_in_a_child_forked_while_another_thread_runs_it(session: Session) -> None:
    (expected,) = session.run(None, {"x": X})
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        results.put(np.array_equal(session.run(None, {"x": X})[0], expected))

    process = context.Process(target=child, daemon=True)
    # As any run does while it lasts.
    with session._team.lock:
        process.start()
    try:
        assert results.get(timeout=2)
    finally:
        process.terminate()
        process.join(10)


def test_a_process_with_waiting_helpers_ends(tmp_path: Any, model: Any) -> None:
    import subprocess

    path = tmp_path / "m.onnx"
    small = model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4))
    path.write_bytes(small.SerializeToString())
    program = (
        "import sys, numpy as np, gossamer.runtime as r\n"
        "s = r.compile(sys.argv[1], threads=3)\n"
        "print(s.run(None, {'x': np.eye(4, dtype='float32')})[0].sum())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "4.0"), done.stderr


@pytest.mark.slow
def test_a_session_may_be_closed_while_another_thread_runs_it(tmp_path: Any, model: Any) -> None:
    """In a process of its own, since it crashes."""
    import subprocess

    path = tmp_path / "m.onnx"
    small = model("(float[N, 64] x) => (float[N, 64] y) { y = MatMul(x, w) }", w=np.eye(64))
    path.write_bytes(small.SerializeToString())
    program = (
        "import sys, threading, numpy as np, gossamer.runtime as r\n"
        "s = r.compile(sys.argv[1], threads=3)\n"
        "x = np.ones((200, 64), np.float32)\n"
        "def go():\n"
        "    for _ in range(300): s.run(None, {'x': x})\n"
        "callers = [threading.Thread(target=go) for _ in range(2)]\n"
        "for caller in callers: caller.start()\n"
        "while any(caller.is_alive() for caller in callers): s.close()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, timeout=30, env=environment
    )
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_at_any_moment_of_another_threads_runs(session: Session) -> None:
    (expected,) = session.run(None, {"x": X})
    context = multiprocessing.get_context("fork")
    stop = threading.Event()
    wrong: list[Any] = []

    def keep_running() -> None:
        while not stop.is_set():
            # Now and then a size that is new, so that a plan is being made.
            for rows in (100, 100, int(np.random.default_rng().integers(1, 100))):
                if not np.array_equal(session.run(None, {"x": X[:rows]})[0], expected[:rows]):
                    wrong.append(rows)

    def child() -> None:
        results = [session.run(None, {"x": X[:rows]})[0] for rows in (100, 7, 100)]
        fits = all(np.array_equal(found, expected[: len(found)]) for found in results)
        os._exit(0 if fits else 1)

    caller = threading.Thread(target=keep_running)
    caller.start()
    try:
        for _ in range(8):
            process = context.Process(target=child, daemon=True)
            process.start()
            process.join(30)
            assert process.exitcode == 0
    finally:
        stop.set()
        caller.join(30)
    assert not wrong


# Leaks


@pytest.fixture
def small(model: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = model(
        "(float[N, 40] x) => (float[N, 8] y) { y = MatMul(x, w) }", w=np.eye(40, 8)
    )
    return made


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ten_thousand_runs_leak_nothing(small: onnx.ModelProto, threads: int) -> None:
    session = compile(small, threads=threads)
    for _ in range(500):
        session.run(None, {"x": X})
    gc.collect()
    before = resident_bytes(), open_files(), helpers()
    for _ in range(10_000):
        session.run(None, {"x": X})
    assert resident_bytes() - before[0] < 2 << 20
    assert open_files() <= before[1]
    assert helpers() <= before[2]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_runs_of_ever_new_sizes_and_refused_ones_leak_nothing(small: onnx.ModelProto) -> None:
    session = compile(small, threads=1)
    large = np.tile(X, (8, 1))

    def run_all() -> None:
        for rows in range(1, 700):
            session.run(None, {"x": large[:rows]})
            with pytest.raises(DataError):
                session.run(None, {"x": large[:rows, 1:]})

    run_all()
    gc.collect()
    before = resident_bytes(), open_files()
    run_all()
    assert resident_bytes() - before[0] < 8 << 20
    assert open_files() == before[1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_hundred_sessions_leave_nothing_behind(small: onnx.ModelProto) -> None:
    def live(count: int) -> list[weakref.ref[Session]]:
        dead = []
        for _ in range(count):
            made = compile(small, threads=2)
            made.run(None, {"x": X})
            dead.append(weakref.ref(made))
        return dead

    live(20)
    gc.collect()
    mine = helpers()
    before = resident_bytes(), open_files()
    dead = live(200)
    gc.collect()
    assert not any(reference() for reference in dead)
    for helper in helpers() - mine:
        helper.join(10)
        assert not helper.is_alive()
    assert resident_bytes() - before[0] < 8 << 20
    assert open_files() == before[1]


def test_a_helper_that_the_system_refused_is_started_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    small = model("(float[N, 8] x) => (float[N, 8] y) { y = MatMul(x, w) }", w=np.eye(8))
    session = compile(small, threads=3, engine="gossamer")
    start, started = threading.Thread.start, []

    def refusing(self: threading.Thread) -> None:
        started.append(self.name)
        if started.count("gossamer-2") == 1 and self.name == "gossamer-2":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    x = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    with pytest.raises(RuntimeError):
        session.run(None, {"x": x})
    for _ in range(50):
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)
    assert started == ["gossamer-1", "gossamer-2", "gossamer-2"]
