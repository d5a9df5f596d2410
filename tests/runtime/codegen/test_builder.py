"""The builder over LLVM: what its loops, branches and conversions do when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen.builder import F32, I8, I32, I64, Term
from gossamer.runtime.codegen.kernel_builder import KernelBuilder, write_kernel
from gossamer.runtime.codegen.target import target
from gossamer.runtime.signature import Output, Signature, symbols


def run(body: Callable[[KernelBuilder], None], **numbers: int) -> Any:
    """What a kernel writes into 32 integers, given these numbers and two threads one by one."""
    result = np.full(32, -1)
    signature = Signature("test", (Output("result", "int64", 32),), symbols(*numbers))
    arguments = np.array([result.ctypes.data, *numbers.values()])
    kernel = jit.callable_kernel(jit.load(write_kernel(signature, target(), body), target()))
    for thread in range(2):
        kernel(arguments.ctypes.data, thread, 2)
    return result


def _put(b: KernelBuilder, place: Any, value: Term) -> None:
    b.store(value, b.at(b.argument("result"), place, I64))


@pytest.mark.parametrize(("low", "high", "step"), [(0, 5, 1), (2, 9, 3), (4, 4, 1), (5, 2, 1)])
def test_a_loop_runs_as_range_does(low: int, high: int, step: int) -> None:
    def body(b: KernelBuilder) -> None:
        with b.loop(*b.arguments("low", "high", "step")) as index:
            _put(b, index, index)

    written = run(body, low=low, high=high, step=step)
    assert [i for i in written if i >= 0] == list(range(low, high, step))


def test_a_variable_changes_in_a_loop() -> None:
    def body(b: KernelBuilder) -> None:
        total = b.variable(b.i64(0))
        with b.loop(0, b.argument("count")) as index:
            total.set(total.get() + index)
        _put(b, 0, total.get())

    assert run(body, count=10)[0] == 45


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4])
def test_branches(value: int) -> None:
    def body(b: KernelBuilder) -> None:
        x = b.argument("x")
        with b.when(x > 2):
            _put(b, 0, b.i64(1))
        b.choose(
            x.compare("==", 1),
            lambda: _put(b, 1, b.i64(10)),
            lambda: _put(b, 1, b.i64(20)),
        )
        b.switch(x, 3, lambda case: _put(b, 2, b.i64(100 * case)))

    expected = [1 if value > 2 else -1, 10 if value == 1 else 20]
    expected.append(100 * value if 1 <= value <= 3 else -1)
    assert run(body, x=value)[:3].tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_threads_share_everything_once(count: int, threads: int) -> None:
    def body(b: KernelBuilder) -> None:
        count, threads = b.arguments("count", "many")
        with b.loop(0, threads) as number:
            low, high = b.share(count, number, threads)
            _put(b, number * 2, low)
            _put(b, number * 2 + 1, high)

    bounds = run(body, count=count, many=threads)[: 2 * threads].reshape(-1, 2)
    assert bounds[0, 0] == 0
    assert bounds[-1, 1] == count
    assert (bounds[1:, 0] == bounds[:-1, 1]).all()
    assert np.ptp(bounds[:, 1] - bounds[:, 0]) <= 1


@pytest.mark.parametrize(
    ("value", "through", "expected"),
    [(300, I8, 44), (-1, I8, -1), (2**40 + 7, I32, 7), (-5, F32, -5)],
)
def test_conversions_follow_c(value: int, through: Any, expected: int) -> None:
    def body(b: KernelBuilder) -> None:
        _put(b, 0, b.cast(b.cast(b.argument("x"), through), I64))

    assert run(body, x=value)[0] == expected


@pytest.mark.parametrize(("left", "right"), [(3, 7), (7, 3), (-2, 2)])
def test_the_smaller_and_the_larger(left: int, right: int) -> None:
    def body(b: KernelBuilder) -> None:
        _put(b, 0, b.smaller(*b.arguments("left", "right")))
        _put(b, 1, b.larger(*b.arguments("left", "right")))

    assert run(body, left=left, right=right)[:2].tolist() == [min(left, right), max(left, right)]
