"""A program bound to memory: plans of many sizes, and the arena that they share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import DataError
from gossamer.runtime import Session, memory, plans

f32 = np.float32


def test_a_plan_is_kept_for_each_size(session: Session, feeds: Any) -> None:
    for batch in (1, 2, 1, 2, 3):
        session.run(None, feeds(batch))
    assert len(session._generated.program._plans.kept) == 3


def test_plans_do_not_pile_up(
    session: Session, feeds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = session.run(None, feeds(1))[0]
    (first,) = session._generated.program._plans.kept.values()
    monkeypatch.setattr(plans, "_KEPT_BYTES", 4 * first.nbytes)
    for batch in range(2, 12):
        session.run(None, feeds(batch))
    assert len(session._generated.program._plans.kept) == 4
    np.testing.assert_array_equal(session.run(None, feeds(1))[0], expected)


def test_plans_share_their_memory_and_follow_it(session: Session, feeds: Any) -> None:
    """A larger run moves it; the plans made before find their values where it is then."""
    sizes = 700, 3, 40, 30_000, 1
    expected = {batch: session.run(None, feeds(batch)) for batch in sizes}
    arena = session._generated.program._plans.arena
    assert arena.moves == 2
    for batch in sizes:
        poison = feeds(30_000)
        poison["x"][:] = np.nan
        session.run(None, poison)
        for one, other in zip(session.run(None, feeds(batch)), expected[batch], strict=True):
            np.testing.assert_array_equal(one, other)
    assert arena.moves == 2


def test_a_run_that_memory_does_not_hold_leaves_a_session_that_runs(
    session: Session, feeds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = session.run(None, feeds(3))

    def refuse(size: int) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(memory, "Region", refuse)
        with pytest.raises(DataError, match="give fewer or shorter ones at once"):
            session.run(None, feeds(60_000))
    for one, other in zip(session.run(None, feeds(3)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


LENGTHS = """
import os, sys
from pathlib import Path
import numpy as np
from gossamer.runtime import compile

def resident():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

session = compile(sys.argv[1], threads=1, engine="gossamer")
longest = np.ones((20_000, 128), np.float32)
session.run(None, {"x": longest})
before = resident()
for length in range(10_000, 20_000, 250):
    session.run(None, {"x": longest[:length]})
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_forty_lengths_keep_the_memory_of_the_longest(model: Any, tmp_path: Path) -> None:
    """In a process of its own, whose memory nothing else grows."""
    small = model(
        """(float[N, 128] x) => (float[N, 128] y) {
            a = MatMul(x, w)  b = Relu(a)  c = MatMul(b, w)  y = Relu(c) }""",
        w=np.eye(128),
    )
    onnx.save(small, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", LENGTHS, str(tmp_path / "m.onnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    # The allocator may keep what one run held, some 20 MiB; plan by plan it was 960 MiB.
    assert int(done.stdout) < 48 << 20
