"""The threads of a session: any number, after closing, after a fork."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from typing import Any

import numpy as np
import pytest

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


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("gossamer-")]


def test_helpers_start_with_the_first_run_and_end_with_the_session(session: Session) -> None:
    before = len(helpers())
    (expected,) = session.run(None, {"x": X})
    assert len(helpers()) == before + 2
    session.close()
    assert len(helpers()) == before
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], expected)
    session.close()
    session.close()


def test_one_thread_starts_no_helper(model: Any) -> None:
    alone = compile(
        model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)), threads=1
    )
    before = threading.active_count()
    alone.run(None, {"x": X[:, :4].copy()})
    assert threading.active_count() == before


def test_a_dropped_session_ends_its_helpers(model: Any) -> None:
    import gc

    dropped = compile(
        model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)), threads=4
    )
    before = set(threading.enumerate())
    dropped.run(None, {"x": X[:, :4].copy()})
    mine = set(threading.enumerate()) - before
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
