"""The threads of a session: any number, after closing, after a fork."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer import machine
from gossamer.errors import DataError
from gossamer.runtime import Session, compile, threads
from gossamer.runtime.solo import Solo

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
    for number in (2, 3, 5, 8):
        with compile(small, threads=number) as several:
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
    with session._generated.program.team.lock:
        process.start()
    try:
        assert results.get(timeout=2)
    finally:
        process.terminate()
        process.join(10)


def test_a_process_with_waiting_helpers_ends(tmp_path: Any, model: Any) -> None:
    path = tmp_path / "m.onnx"
    small = model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4))
    path.write_bytes(small.SerializeToString())
    program = (
        "import sys, numpy as np, gossamer.runtime as r\n"
        "s = r.compile(sys.argv[1], threads=3, engine='gossamer')\n"
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
    path = tmp_path / "m.onnx"
    small = model("(float[N, 64] x) => (float[N, 64] y) { y = MatMul(x, w) }", w=np.eye(64))
    path.write_bytes(small.SerializeToString())
    program = (
        "import sys, threading, numpy as np, gossamer.runtime as r\n"
        "s = r.compile(sys.argv[1], threads=3, engine='gossamer')\n"
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


def test_threads_that_the_system_refuses_are_asked_for_again(
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
    monkeypatch.setattr(threads, "_LOOK_AGAIN", 0)
    x = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    for _ in range(50):
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)
    # Three, then the two that there may be, then three.
    assert started == ["gossamer-1", "gossamer-2", "gossamer-1", "gossamer-1", "gossamer-2"]
    session.close()


# Processors


def test_no_more_threads_run_than_there_are_processors_for(
    monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    small = model("(float[N, 8] x) => (float[N, 8] y) { y = MatMul(x, w) }", w=np.eye(8))
    monkeypatch.setattr(machine, "usable_processors", lambda: 3)
    session = compile(small, threads=32, engine="gossamer")
    assert session.threads == 3
    before = helpers()
    session.run(None, {"x": X[:, :8].copy()})
    assert len(helpers() - before) == 2
    session.close()


def test_a_team_follows_the_processors_that_are_left_and_come_back(
    monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    """Cores may be taken away from a process while it runs."""
    monkeypatch.setattr(threads, "_LOOK_AGAIN", 0)
    monkeypatch.setattr(Solo, "alone", False)
    (expected,) = session.run(None, {"x": X})
    for left, working in ((1, 0), (2, 1), (64, 2), (1, 0)):
        monkeypatch.setattr(machine, "usable_processors", lambda left=left: left)
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], expected)
        assert len(session._generated.program.team._helpers) == working
    session.close()


# Interrupts

INTERRUPTED = """
import faulthandler, itertools, linecache, signal, sys, threading
import numpy as np
import gossamer.machine
import gossamer.runtime as r
from gossamer.runtime import threads
from gossamer.runtime.solo import Solo

faulthandler.dump_traceback_later(100, exit=True)
gossamer.machine.usable_processors = lambda: 64
Solo.alone = False
session = r.compile(sys.argv[1], threads=3, engine="gossamer")
x = np.random.default_rng(0).standard_normal((200, 64)).astype("float32")


def helpers():
    # Those that were interrupted before they began are listed for good.
    return [t for t in threading.enumerate() if t.name.startswith("gossamer-") and t.is_alive()]


def used():
    session.run(None, {"x": x})
    session.run(None, {"x": x})
    session.close()


def check():
    for _ in range(3):
        assert (session.run(None, {"x": x})[0] == x).all()
    session.close()
    for helper in helpers():
        helper.join(20)
        assert not helper.is_alive()


used()
"""

AT_EVERY_LINE = """
FILES = threads.__file__, threading.__file__


def interrupt_at(number):
    seen = itertools.count(1)

    def trace(frame, event, _):
        if frame.f_code.co_filename not in FILES:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        # Where a block that holds a lock ends, Python looks at no signal before it is let go.
        if event == "line" and not line.startswith("with ") and next(seen) == number:
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        used()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


moments = 0
while interrupt_at(moments + 1):
    check()
    moments += 1
print(moments)
"""

AT_MANY_MOMENTS = """
def stop(*_):
    raise KeyboardInterrupt


signal.signal(signal.SIGALRM, stop)
hit = 0
for moment in range(200):
    try:
        signal.setitimer(signal.ITIMER_REAL, 2e-5 + moment * 1e-5)
        used()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit += 1
    check()
print(hit)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("moments", [AT_EVERY_LINE, AT_MANY_MOMENTS], ids=["line", "signal"])
def test_a_session_that_was_interrupted_runs_and_ends(
    tmp_path: Path, model: Any, moments: str
) -> None:
    """Ctrl-C while helpers start, run or end; in a process of its own, since it would hang."""
    path = tmp_path / "m.onnx"
    small = model("(float[N, 64] x) => (float[N, 64] y) { y = MatMul(x, w) }", w=np.eye(64))
    path.write_bytes(small.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED + moments, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
