"""The comparison: candidates in turn, on the same inputs, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gossamer import arguments
from gossamer.energy import environment
from gossamer.energy.candidate import Candidate
from gossamer.energy.comparison import CandidateResult, Comparison, Energy, Gains
from gossamer.energy.memory import PeakMemory, peak_memory
from gossamer.energy.meters import CpuTimeEstimate, Meter, Panel, default_meters
from gossamer.energy.noise import Watch
from gossamer.energy.statistics import (
    LEAST_ROUNDS,
    Interval,
    expected_half_width,
    gain_interval,
    median_interval,
)
from gossamer.energy.timing import Run, Timings, take_turns
from gossamer.errors import DataError, GossamerError, OptionError, first_line
from gossamer.progress import ProgressLike, by_fraction, showing

Array = np.ndarray[Any, Any]
Batch = dict[str, Array]

# The clock's step: what a callable that does nothing takes at least, so that ratios exist.
_LEAST = 1e-9


def measure(
    candidates: Sequence[Candidate],
    inputs: Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]],
    *,
    min_time: float = 5.0,
    max_time: float = 60.0,
    precision: float = 0.01,
    min_rounds: int = 20,
    meters: Sequence[Meter] | None = None,
    watts_per_core: float | None = None,
    progress: ProgressLike = None,
) -> Comparison:
    """Measure candidates against the first of them.

    Rounds are added until every ratio of latency, CPU time and energy is known well enough, or
    time is up. A candidate that raises on the way ends the measuring; what was measured is kept.

    Args:
        candidates: one or more, with different names; the first is what the others are compared
            with.
        inputs: arrays by input name, or several such batches to cycle through. One inference is
            one batch.
        min_time: seconds of measuring at least, warm-up and memory not counted.
        max_time: seconds after which no round begins; what was measured is then told as it is.
        precision: half the width of a ratio's 95 % interval that is narrow enough, by the ratio.
        min_rounds: turns of each candidate at least, if `max_time` allows.
        meters: of energy, the one to go by first; by default those that work here, see
            `gossamer.energy.meters.default_meters`. The estimate comes last in any case.
        watts_per_core: for the estimate of energy, if no `meters` are given.
        progress: True to show how far it is on stderr, or a function that is told the fraction of
            the measuring done, 0 to 1; see `gossamer.progress.showing`.

    Raises:
        OptionError: if there are no candidates or two of one name, or a number is out of range.
        DataError: if there are no inputs, or a candidate fails on them.
    """
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise OptionError("give one or more candidates, each with a name of its own")
    min_time = arguments.seconds("min_time", min_time)
    max_time = arguments.seconds("max_time", max_time)
    min_rounds = arguments.whole("min_rounds", min_rounds, 1)
    precision = arguments.number("precision", precision, lambda it: it > 0, "a number above 0")
    if meters is None:
        meters = default_meters(watts_per_core=watts_per_core)
    elif watts_per_core is not None:
        raise OptionError("watts_per_core and meters contradict each other; give one of them")
    if len({meter.name for meter in meters}) < len(meters):
        raise OptionError("two meters have one name; give each a name of its own")
    if not any(meter.name == CpuTimeEstimate.name for meter in meters):
        # It cannot fail, so that there is always something to go by.
        meters = (*meters, CpuTimeEstimate())
    batches = _batches(inputs)
    surroundings = environment.describe()
    panel, watch = Panel(meters), Watch()

    def enough(timings: Timings) -> bool:
        return all(expected_half_width(ratios) <= precision for ratios in _ratios(timings))

    with showing(progress) as shown:
        shown.start("running each candidate once, and weighing its file")
        outputs = [_first_outputs(candidate, batches) for candidate in candidates]
        differences = _differences(outputs)
        sizes = _sizes(candidates)
        shown.start("measuring the memory of each candidate in a process of its own")
        memory = [peak_memory(candidate, batches[0]) for candidate in candidates]
        longest = max(min_time, max_time)
        try:
            timings = take_turns(
                [_run(candidate, batches) for candidate in candidates],
                panel=panel,
                cycle=len(batches),
                min_time=min_time,
                max_time=longest,
                min_rounds=min_rounds,
                enough=enough,
                progress=by_fraction(
                    shown, f"measuring in turn until the ratios are known, {longest:g} s at most"
                ),
            )
        except GossamerError:
            raise
        except Exception as error:
            raise DataError(
                f"a candidate fails when it is run again ({first_line(error)}); give candidates "
                "that can be run many times"
            ) from error
    rounds = len(timings.seconds)
    share = timings.noisy_windows / (rounds * len(candidates))
    noise = watch.noise(timings.seconds[:, 0], share)
    energies = _energies(timings, panel)
    return Comparison(
        candidates=tuple(
            _result(index, candidates[index], timings, energies[index], sizes, memory, differences)
            for index in range(len(candidates))
        ),
        rounds=rounds,
        runs_per_round=timings.repeats,
        noisy_windows=timings.noisy_windows,
        noise=noise,
        notes=(
            *_failure(timings, names),
            *_precision(timings, precision),
            *_shapes(outputs, differences, names),
            *_left_to_others(candidates),
            *(f"{failure}." for failure in panel.failures),
            *noise.warnings,
        ),
        inputs=tuple({name: array.shape for name, array in batch.items()} for batch in batches),
        environment=surroundings,
    )


def _ratios(timings: Timings) -> list[Array]:
    """Return every ratio that is told, round by round: of latency, CPU time and joules."""
    found = []
    for index in range(1, timings.seconds.shape[1]):
        for figures in (timings.seconds, timings.cpu_seconds):
            held = np.maximum(figures, _LEAST)
            found.append(held[:, 0] / held[:, index])
        for meter in range(timings.joules.shape[2]):
            pairs = _pairs(timings, index, meter)
            if len(pairs):
                found.append(pairs[:, 0] / pairs[:, 1])
    return found


def _width(gain: Interval) -> float:
    return (gain.high - gain.low) / 2 / gain.median


def _joules(
    timings: Timings, index: int, meter: int
) -> tuple[Interval | None, Interval | None, int]:
    """Return a candidate's joules, their gain on the first's, and how many rounds gave them."""
    pairs = _pairs(timings, index, meter)
    if not len(pairs):
        return None, None, 0
    gain = gain_interval(pairs[:, 0], pairs[:, 1]) if index else None
    return median_interval(pairs[:, 1]), gain, len(pairs)


def _pairs(timings: Timings, index: int, meter: int) -> Array:
    """Return the joules of the first candidate and of another, in the rounds that have both."""
    pairs = timings.joules[:, [0, index], meter]
    measured: Array = np.maximum(pairs[~np.isnan(pairs).any(axis=1)], _LEAST)
    return measured


def _energies(timings: Timings, panel: Panel) -> list[tuple[Energy, ...]]:
    """Return every candidate's energies; first by the first meter that measured them all."""
    rounds, count = timings.seconds.shape
    found: list[list[Energy]] = [[] for _ in range(count)]
    known = []
    for at, meter in enumerate(panel.meters):
        told = [_joules(timings, index, at) for index in range(count)]
        # A meter that failed early is not gone by: what it measured has no interval.
        known.append(all(measured >= min(rounds, LEAST_ROUNDS) for _, _, measured in told))
        for index, (joules, gain, measured) in enumerate(told):
            note = None
            if measured < rounds:
                reason = next((one for one in panel.failures if one.startswith(meter.name)), "")
                note = f"{measured} of {rounds} windows could be measured; {reason}"
            found[index].append(
                Energy(meter.name, meter.kind, meter.method, joules, gain, measured, note)
            )
    order = sorted(range(len(known)), key=lambda at: not known[at])
    return [tuple(energies[at] for at in order) for energies in found]


def _failure(timings: Timings, names: list[str]) -> list[str]:
    if timings.failure is None:
        return []
    index, error = timings.failure
    return [
        f"{names[index]} failed in round {len(timings.seconds) + 1} ({first_line(error)}); the "
        f"figures are of the {len(timings.seconds)} rounds before."
    ]


def _precision(timings: Timings, precision: float) -> list[str]:
    rounds = len(timings.seconds)
    if rounds < LEAST_ROUNDS:
        return [
            f"Only {rounds} {'round' if rounds == 1 else 'rounds'} fitted into the time, too few "
            "for a 95 % interval: the model is too slow for the budget; raise max_time."
        ]
    widest = max((_width(median_interval(ratios)) for ratios in _ratios(timings)), default=0.0)
    if timings.stopped == "enough" or widest <= precision:
        return []
    return [
        f"Time was up before the ratios were known to {100 * precision:g} % (the widest interval "
        f"is {100 * widest:.1f} % to either side); measure longer for narrower ones."
    ]


def _differences(outputs: list[list[Array] | None]) -> list[float | None]:
    """Return how far each candidate's outputs are from the first's; None where nothing tells."""
    first = outputs[0]
    return [None] + [
        None if first is None or other is None else max_relative_difference(other, first)
        for other in outputs[1:]
    ]


def _shapes(
    outputs: list[list[Array] | None], differences: list[float | None], names: list[str]
) -> list[str]:
    first = outputs[0]
    if first is None:
        return []
    told = []
    for name, other, difference in zip(names[1:], outputs[1:], differences[1:], strict=True):
        if other is None:
            continue
        shapes = [[array.shape for array in arrays] for arrays in (first, other)]
        if shapes[0] != shapes[1]:
            told.append(
                f"{name} returns other shapes than {names[0]} ({_listed(shapes[1])} for "
                f"{_listed(shapes[0])}): they do not do the same work."
            )
        elif difference == float("inf"):
            told.append(
                f"{name} returns NaN or infinity where {names[0]} does not, or the reverse."
            )
    return told


def _left_to_others(candidates: Sequence[Candidate]) -> list[str]:
    return [
        f"{one.name}: the whole model was left to ONNX Runtime, which runs it faster."
        for one in candidates
        if one.engine == "gossamer" and one.ran_by not in ("gossamer", None)
    ]


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "a number" for shape in shapes) or "nothing"


def max_relative_difference(outputs: Sequence[Array], reference: Sequence[Array]) -> float | None:
    """Return the largest max|a-b| / max|b| over the outputs; None where they do not match up.

    An output that differs from a reference of zeros, or is NaN where the reference is not, is
    infinitely far away.
    """
    if [array.shape for array in outputs] != [array.shape for array in reference]:
        return None
    largest = 0.0
    for array, other in zip(outputs, reference, strict=True):
        if array.dtype.kind not in "fiub" or other.dtype.kind not in "fiub":
            return None
        a, b = array.astype(np.float64), other.astype(np.float64)
        if np.array_equal(a, b, equal_nan=True):
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = np.max(np.abs(a - b)) / np.max(np.abs(b))
        largest = max(largest, float(difference) if np.isfinite(difference) else float("inf"))
    return largest


def _batches(inputs: Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]]) -> list[Batch]:
    listed = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    batches = []
    for batch in listed:
        if not isinstance(batch, Mapping) or not batch:
            raise DataError("inputs must be arrays by input name; give at least one array")
        arrays = {name: np.asarray(array) for name, array in batch.items()}
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise DataError(f"input {name!r} holds no numbers; give a numeric array")
        batches.append(arrays)
    if not batches:
        raise DataError("there are no inputs to measure on; give at least one batch")
    return batches


def _run(candidate: Candidate, batches: list[Batch]) -> Run:
    if len(batches) == 1:
        only = batches[0]
        return lambda: candidate.run(only)
    following = cycle(batches)
    return lambda: candidate.run(next(following))


def _first_outputs(candidate: Candidate, batches: list[Batch]) -> list[Array] | None:
    """Run every batch once, so that a misfit is found before the measuring; return the first's."""
    found = None
    for batch in batches:
        try:
            outputs = candidate.run(batch)
        except GossamerError:
            raise
        except Exception as error:  # A candidate is the user's code: anything may come out of it.
            shapes = ", ".join(f"{name} {array.shape}" for name, array in batch.items())
            raise DataError(
                f"candidate {candidate.name!r} fails on the inputs {shapes} ({first_line(error)}); "
                "give inputs that fit its model"
            ) from error
        found = found if found is not None else _as_arrays(outputs)
    return found


def _as_arrays(outputs: Any) -> list[Array] | None:
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    listed = outputs if isinstance(outputs, list | tuple) else [outputs]
    try:
        # Copies, since a session may hand out the same buffers again.
        return [np.array(_without_gradient(output)) for output in listed]
    except (TypeError, ValueError, RuntimeError):
        return None


def _without_gradient(output: Any) -> Any:
    return output.detach().cpu().numpy() if hasattr(output, "detach") else output


def _result(
    index: int,
    candidate: Candidate,
    timings: Timings,
    energies: tuple[Energy, ...],
    sizes: list[tuple[int | None, int | None]],
    memory: list[PeakMemory],
    differences: list[float | None],
) -> CandidateResult:
    seconds = np.maximum(timings.seconds, _LEAST)
    cpu = np.maximum(timings.cpu_seconds, _LEAST)
    gains = None
    energy = energies[0].gain
    if energy is not None:
        gains = Gains(
            latency=gain_interval(seconds[:, 0], seconds[:, index]),
            cpu_seconds=gain_interval(cpu[:, 0], cpu[:, index]),
            energy=energy,
            file_bytes=_ratio(sizes[0][0], sizes[index][0]),
            compressed_bytes=_ratio(sizes[0][1], sizes[index][1]),
            peak_memory_bytes=_ratio(memory[0].bytes, memory[index].bytes),
        )
    return CandidateResult(
        name=candidate.name,
        engine=candidate.engine,
        threads=candidate.threads,
        file=candidate.file.name if candidate.file else None,
        file_bytes=sizes[index][0],
        compressed_bytes=sizes[index][1],
        latency_ms=median_interval(seconds[:, index]).scaled(1000),
        throughput=median_interval(1 / seconds[:, index]),
        cpu_seconds=median_interval(cpu[:, index]),
        energies=energies,
        peak_memory=memory[index],
        rounds=len(timings.seconds),
        ran_by=candidate.ran_by,
        max_relative_difference=differences[index],
        gains=gains,
    )


def _sizes(candidates: Sequence[Candidate]) -> list[tuple[int | None, int | None]]:
    """Return bytes and compressed bytes of each candidate; a file that several run is read once."""
    found: dict[Path | None, tuple[int | None, int | None]] = {}
    for candidate in candidates:
        if candidate.file not in found:
            found[candidate.file] = candidate.file_bytes(), candidate.compressed_bytes()
    return [found[candidate.file] for candidate in candidates]


def _ratio(first: int | None, other: int | None) -> float | None:
    return first / other if first and other else None
