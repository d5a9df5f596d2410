"""Two engines in turn: sizes, inputs, and when an outcome is certain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from gossamer.errors import DataError
from gossamer.runtime import trial
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.trial import Outcome, made_up, sizes_for, time_in_turn


class Clock:
    """Seconds that pass only while something runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: list[str] = []

    def __call__(self) -> float:
        return self.now

    def engine(self, name: str, seconds: Sequence[float]) -> Callable[[], None]:
        """A run that takes so long, each time the next of these."""
        times: Iterator[float] = cycle(seconds)

        def run() -> None:
            self.runs.append(name)
            self.now += next(times)

        return run


def timed(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Outcome, Clock]:
    clock = Clock()
    return time_in_turn(clock.engine("a", ours), clock.engine("b", theirs), clock), clock


def test_the_faster_one_wins_and_is_certain() -> None:
    faster = timed([0.02], [0.03])[0]
    assert (faster.ours, faster.theirs) == (pytest.approx(0.02), pytest.approx(0.03))
    assert faster.ratio == pytest.approx(2 / 3)
    assert not faster.lost and faster.certain
    slower = timed([0.03], [0.02])[0]
    assert slower.lost and slower.certain


def test_generated_code_wins_a_tie() -> None:
    outcome, _ = timed([0.0208], [0.02])
    assert not outcome.lost
    assert outcome.certain


def test_they_run_in_turn_and_no_longer_than_it_takes() -> None:
    _, clock = timed([0.02], [0.03])
    # Two runs and one to warm up, and eight pairs.
    assert clock.runs == ["a", "a", "b"] + ["a", "b"] * 8


def test_short_runs_have_their_caches_warm() -> None:
    _, clock = timed([1e-4], [2e-4])
    assert clock.runs == ["a"] * 20 + ["b"] * 20 + ["a", "a", "b", "b"] * 8


def test_times_on_both_sides_are_not_certain() -> None:
    outcome, clock = timed([0.02, 0.02, 0.04, 0.03, 0.02], [0.02, 0.03, 0.021, 0.03])
    assert not outcome.certain
    assert len(clock.runs) == 4 + 2 * 40


def test_a_few_runs_that_something_disturbs_change_nothing() -> None:
    """One in nine takes four times as long; eight pairs do not tell, some more do."""
    outcome, clock = timed([0.02] * 8 + [0.08], [0.03])
    assert not outcome.lost
    assert outcome.certain
    assert len(clock.runs) > 3 + 2 * 8


def test_what_only_seems_slower_most_of_the_time_is_not_certain() -> None:
    """A busy machine delays threads that wait for each other, but not in every run."""
    outcome, _ = timed([0.06, 0.07, 0.06, 0.07, 0.06, 0.07, 0.02], [0.03])
    assert outcome.lost
    assert not outcome.certain


def test_long_runs_end_after_some_seconds() -> None:
    outcome, clock = timed([4.0], [2.0])
    assert outcome.lost
    assert not outcome.certain
    assert clock.runs == ["a", "b"] + ["a", "b"] * 3
    assert timed([0.3], [0.25])[0].certain


def test_intervals_hold_the_median_in_99_of_100_cases() -> None:
    """For any distribution: the k-th smallest of n from either end."""
    random = np.random.default_rng(0)
    for count, beyond in trial._LOOKS.items():
        samples = np.sort(random.exponential(size=(20_000, count)), axis=1)
        median = np.log(2)
        holds = (samples[:, beyond] <= median) & (median <= samples[:, -1 - beyond])
        assert 0.985 < holds.mean() < 0.999


# Sizes


def sizes(model: Any, text: str, **constants: Any) -> dict[str, int]:
    return sizes_for(import_model(model(text, **constants)))


def test_a_batch_is_of_one_and_a_sequence_of_128(model: Any) -> None:
    text = "(float[N, T, 20] x) => (float[N, T, 30] y) { y = MatMul(x, w) }"
    assert sizes(model, text, w=np.ones((20, 30))) == {"N": 1, "T": 128}


def test_samples_that_lie_side_by_side_within_are_still_a_batch(model: Any) -> None:
    text = """(float[N, T, 20] x) => (float[N, T, 30] y) {
        flat = Reshape(x, rows)  h = Gemm(flat, w)  s = Shape(x)  nt = Slice(s, zero, two)
        to = Concat<axis=0>(nt, wide)  y = Reshape(h, to) }"""
    constants = {
        "w": np.ones((20, 30)),
        "rows": np.array([-1, 20]),
        "zero": np.array([0]),
        "two": np.array([2]),
        "wide": np.array([30]),
    }
    assert sizes(model, text, **constants) == {"N": 1, "T": 128}


def test_a_first_axis_along_which_is_attended_is_a_length(model: Any) -> None:
    text = """(float[T, 20] x) => (float[T, 20] y) {
        t = Transpose<perm=[1, 0]>(x)  s = MatMul(x, t)  p = Softmax(s)  a = MatMul(p, x)
        y = MatMul(a, w) }"""
    assert sizes(model, text, w=np.ones((20, 20))) == {"T": 128}


def test_a_first_axis_that_is_summed_away_is_a_length(model: Any) -> None:
    text = """(float[T, 20] x) => (float[30] y) {
        h = MatMul(x, w)  y = ReduceMean<axes=[0], keepdims=0>(h) }"""
    assert sizes(model, text, w=np.ones((20, 30))) == {"T": 128}


def test_a_first_axis_that_becomes_another_is_a_length(model: Any) -> None:
    text = """(float[T, 20] x) => (float[1, 30, U] y) {
        t = Transpose<perm=[1, 0]>(x)  s = Unsqueeze(t, zero)  y = Conv(s, w) }"""
    assert sizes(model, text, w=np.ones((30, 20, 3)), zero=np.array([0])) == {"T": 128}


def test_a_first_axis_that_a_recurrent_layer_walks_along_is_a_length(model: Any) -> None:
    text = """(float[T, 1, 8] x) => (float[T, 1, 1, 4] y) { y = LSTM<hidden_size=4>(x, w, r) }"""
    constants = {"w": np.ones((1, 16, 8)), "r": np.ones((1, 16, 4))}
    assert sizes(model, text, **constants) == {"T": 128}


def test_sizes_lie_within_what_the_model_takes(model: Any) -> None:
    positions = """(int64[N, T] ids) => (float[N, T, 8] y) {
        s = Shape(ids)  t = Gather(s, one)  p = Slice(table, zero, t, zero)
        e = Gather(table, ids)  x = Add(e, p)  y = MatMul(x, w) }"""
    found = sizes(
        model,
        positions,
        table=np.ones((40, 8)),
        w=np.ones((8, 8)),
        one=np.array([1]),
        zero=np.array([0]),
    )
    assert found == {"N": 1, "T": 32}
    window = """(float[N, T, 8] x) => (float[N, K, 8] y) {
        last = Slice(x, start, end, one)  y = MatMul(last, w) }"""
    found = sizes(
        model,
        window,
        w=np.ones((8, 8)),
        start=np.array([-200]),
        end=np.array([2**63 - 1]),
        one=np.array([1]),
    )
    assert found == {"N": 1, "T": 256}


def test_limits_that_contradict_each_other_are_an_error(model: Any) -> None:
    graph = import_model(
        model("(float[N, T, 8] x) => (float[N, T, 8] y) { y = MatMul(x, w) }", w=np.eye(8))
    )
    assert graph.inputs[0].shape is not None
    length = graph.inputs[0].shape[1]
    graph.limits = [(length, 4), (-1 * length, -9)]
    with pytest.raises(DataError, match="T"):
        sizes_for(graph)


# Inputs


def test_inputs_are_random_ones_for_masks_and_zeros_for_indices(model: Any) -> None:
    graph = import_model(
        model(
            """(float[N, 5] x, int64[N, 5] ids, int64[N, 5] attention_mask, bool[N, 5] keep,
                float16[N, 2] half) => (float[N, 5] y) { y = Identity(x) }"""
        )
    )
    x, ids, mask, keep, half = (made_up(value, {"N": 3}) for value in graph.inputs)
    assert x.shape == ids.shape == mask.shape == keep.shape == (3, 5)
    assert (x.dtype, half.dtype) == (np.float32, np.float16)
    assert x.std() > 0.5
    assert not ids.any()
    assert mask.all() and mask.dtype == np.int64
    assert keep.all() and keep.dtype == np.bool_


def test_no_input_is_made_up_for_text(model: Any) -> None:
    graph = import_model(model("(string[N] t) => (string[N] u) { u = Identity(t) }"))
    with pytest.raises(DataError, match="no input can be made up for 't'"):
        made_up(graph.inputs[0], {"N": 1})
