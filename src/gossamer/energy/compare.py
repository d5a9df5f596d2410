"""The comparison: candidates in turn, on the same inputs, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gossamer.energy import environment
from gossamer.energy.candidate import Candidate
from gossamer.energy.comparison import CandidateResult, Comparison, Gains
from gossamer.energy.memory import PeakMemory, peak_memory
from gossamer.energy.meter import DEFAULT_WATTS_PER_CORE, CpuTimeEstimate
from gossamer.energy.statistics import gain_interval, median_interval
from gossamer.energy.timing import Run, Timings, take_turns
from gossamer.errors import DataError, GossamerError, OptionError

Array = np.ndarray[Any, Any]
Batch = dict[str, Array]

# The clock's step: what a callable that does nothing takes at least, so that ratios exist.
_SHORTEST_SECONDS = 1e-9


def measure(
    candidates: Sequence[Candidate],
    inputs: Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]],
    *,
    min_time: float = 5.0,
    min_rounds: int = 10,
    watts_per_core: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Measure candidates against the first of them.

    Args:
        candidates: one or more, with different names; the first is what the others are compared
            with.
        inputs: arrays by input name, or several such batches to cycle through. One inference is
            one batch.
        min_time: seconds of measuring, warm-up and memory not counted.
        min_rounds: turns of each candidate at least, however long they take.
        watts_per_core: for the estimate of energy; 5 W by default.
        progress: is told the fraction of the measuring done, 0 to 1.

    Raises:
        OptionError: if there are no candidates or two of one name, or a number is out of range.
        DataError: if there are no inputs, or a candidate fails on them.
    """
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise OptionError("give one or more candidates, each with a name of its own")
    if not (0 <= min_time < float("inf")) or min_rounds < 1:
        raise OptionError(
            f"min_time={min_time} and min_rounds={min_rounds} leave nothing to measure; "
            "give seconds from 0 and at least 1 round"
        )
    meter = CpuTimeEstimate(DEFAULT_WATTS_PER_CORE if watts_per_core is None else watts_per_core)
    batches = _batches(inputs)
    surroundings = environment.describe()
    outputs = [_first_outputs(candidate, batches) for candidate in candidates]
    memory = [peak_memory(candidate, batches[0]) for candidate in candidates]
    timings = take_turns(
        [_run(candidate, batches) for candidate in candidates],
        cycle=len(batches),
        min_time=min_time,
        min_rounds=min_rounds,
        progress=progress or (lambda fraction: None),
    )
    return Comparison(
        candidates=tuple(
            _result(index, candidates, timings, meter, memory, outputs)
            for index in range(len(candidates))
        ),
        rounds=len(timings.seconds),
        runs_per_round=timings.repeats,
        noisy_windows=timings.noisy_windows,
        inputs=tuple({name: array.shape for name, array in batch.items()} for batch in batches),
        environment=surroundings,
    )


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
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            shapes = ", ".join(f"{name} {array.shape}" for name, array in batch.items())
            raise DataError(
                f"candidate {candidate.name!r} fails on the inputs {shapes} ({reason}); "
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
    candidates: Sequence[Candidate],
    timings: Timings,
    meter: CpuTimeEstimate,
    memory: list[PeakMemory],
    outputs: list[list[Array] | None],
) -> CandidateResult:
    candidate = candidates[index]
    seconds = np.maximum(timings.seconds, _SHORTEST_SECONDS)
    cpu = np.maximum(timings.cpu_seconds, _SHORTEST_SECONDS)
    cpu_interval = median_interval(cpu[:, index])
    gains = difference = None
    if index:
        cpu_gain = gain_interval(cpu[:, 0], cpu[:, index])
        gains = Gains(
            latency=gain_interval(seconds[:, 0], seconds[:, index]),
            cpu_seconds=cpu_gain,
            # One power per core for all candidates: it cancels in the ratio.
            energy=cpu_gain,
            file_bytes=_ratio(candidates[0].file_bytes(), candidate.file_bytes()),
            peak_memory_bytes=_ratio(memory[0].bytes, memory[index].bytes),
        )
        own, reference = outputs[index], outputs[0]
        if own is not None and reference is not None:
            difference = max_relative_difference(own, reference)
    return CandidateResult(
        name=candidate.name,
        engine=candidate.engine,
        threads=candidate.threads,
        file=candidate.file.name if candidate.file else None,
        file_bytes=candidate.file_bytes(),
        latency_ms=median_interval(seconds[:, index]).scaled(1000),
        cpu_seconds=cpu_interval,
        energy=meter.energy(cpu_interval),
        peak_memory=memory[index],
        max_relative_difference=difference,
        gains=gains,
    )


def _ratio(first: int | None, other: int | None) -> float | None:
    return first / other if first and other else None
