"""Samples run apart only where none can see another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile, samples
from gossamer.runtime.passes import optimize
from gossamer.runtime.passes.partition import partition

f32 = np.float32
ONE = np.eye(3, dtype=f32)[:, :, None, None]


@pytest.mark.parametrize(
    "nodes",
    [
        "y = Conv(x, w)",
        "a = Conv(x, w)  b = Relu(a)  y = Add(a, b)",
        "a = Conv(x, w)  y = MaxPool<kernel_shape=[2, 2]>(a)",
        "a = Conv(x, w)  y = Transpose<perm=[0, 2, 3, 1]>(a)",
        "a = Conv(x, w)  b = GlobalAveragePool(a)  c = Flatten(b)  y = MatMul(c, matrix)",
    ],
)
def test_samples_that_run_apart(after: Any, model: Any, nodes: str) -> None:
    assert symbol(after, model, nodes) == "N"


@pytest.mark.parametrize(
    "nodes",
    [
        "a = Conv(x, w)  y = Transpose<perm=[1, 0, 2, 3]>(a)",
        "a = Conv(x, w)  y = Softmax<axis=0>(a)",
        "a = Conv(x, w)  b = ReduceMean<axes=[0], keepdims=1>(a)  y = Sub(a, b)",
        "a = Conv(x, w)  y = Reshape(a, whole)",
        "a = Conv(x, w)  y = Slice(a, one, many, zero)",
        "a = Conv(x, w)  y = ReverseSequence<batch_axis=1, time_axis=0>(a, lengths)",
    ],
)
def test_samples_that_see_each_other(after: Any, model: Any, nodes: str) -> None:
    assert symbol(after, model, nodes) is None


def symbol(after: Any, model: Any, nodes: str) -> str | None:
    small = model(
        f"(float[N, 3, 8, 8] x) => (float[A, B, C, D] y) {{ {nodes} }}"
        if "MatMul" not in nodes
        else f"(float[N, 3, 8, 8] x) => (float[A, B] y) {{ {nodes} }}",
        w=ONE,
        matrix=np.ones((3, 2), f32),
        whole=np.array([1, -1, 8, 8]),
        one=np.array([1]),
        many=np.array([2**31]),
        zero=np.array([0]),
        lengths=np.array([1, 1, 1]),
    )
    return samples.batch_symbol(after(small, optimize, partition))


def test_two_inputs_of_one_batch_run_apart_and_of_two_do_not(after: Any, model: Any) -> None:
    text = "(float[N, 3, 8, 8] x, float[{}, 3, 8, 8] z) => (float[N, 3, 8, 8] y)"
    for size, expected in (("N", "N"), ("M", None)):
        small = model(text.format(size) + " { a = Conv(x, w)  y = Add(a, z) }", w=ONE)
        assert samples.batch_symbol(after(small, optimize, partition)) == expected


def test_as_many_together_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_cache_size", lambda: 2000)
    assert samples.together(10, memory=900, threads=2) == 10
    assert samples.together(10, memory=2000, threads=2) == 4
    assert samples.together(10, memory=90_000, threads=2) == 2
    assert samples.together(3, memory=90_000, threads=8) == 3


@pytest.mark.parametrize("batch", [2, 5, 7])
def test_parts_give_what_the_whole_gives(
    model: Any, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    small = model(
        """(float[N, 3, 9, 9] x, float[N, 3, 9, 9] z) => (float[N, 3, 9, 9] y, float[N, 3] p) {
            a = Conv(x, w)  y = Add(a, z)  b = GlobalAveragePool(y)  p = Flatten(b) }""",
        w=ONE,
    )
    random = np.random.default_rng(0)
    feeds = {name: random.standard_normal((batch, 3, 9, 9)).astype(f32) for name in "xz"}
    whole = compile(small, threads=2, engine="gossamer").run(None, feeds)
    monkeypatch.setattr(samples, "together", lambda count, memory, threads: 2)
    session = compile(small, threads=2, engine="gossamer")
    parts = session.run(None, feeds)
    plans = len(session._generated.program._plans.kept)
    # What is timed is what runs.
    assert any(line.seconds for line in session.explain(feeds))
    assert len(session._generated.program._plans.kept) == plans
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
