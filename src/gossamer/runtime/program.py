"""A compiled model: runs of its steps over arrays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from gossamer.errors import DataError, ModelError
from gossamer.graphs.operation import Array
from gossamer.runtime import bounds, samples
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Graph, Value
from gossamer.runtime.memory import view
from gossamer.runtime.plans import Plan, Plans, too_much
from gossamer.runtime.steps import Alias, Call, Constants, Sizes, Step
from gossamer.runtime.threads import Team

# Sizes of a batch for which it is known how many samples to run together.
_KEPT_BATCHES = 1024
_WALKS = 5
# Bytes of a row of a plan's table.
_ROW = 16


class Program:
    """Steps over values, run by a team of threads.

    `batch` names the size of a batch whose samples can run apart: a large one goes in parts.
    """

    def __init__(
        self,
        graph: Graph,
        steps: Sequence[Step],
        constants: Constants,
        team: Team,
        batch: str | None = None,
    ) -> None:
        self.graph, self.team = graph, team
        self._constants = constants
        self.steps = list(steps)
        self._plans = Plans(graph, self.steps, constants, team.threads)
        self._batch = batch
        self._together: dict[tuple[tuple[str, int], ...], int] = {}

    def run(self, values: Mapping[str, int], feeds: Mapping[Value, Array]) -> list[Array]:
        """Run on arrays for the graph's inputs; return arrays for its outputs, in order.

        Raises:
            DataError: if an index in the data points outside the table that it looks up.
        """
        with self.team.lock:
            count = values.get(self._batch or "", 1)
            together = self._samples_together(values) if count > 1 else count
            if together == count:
                return self._run_together(values, feeds)
            results = self._whole_outputs(Sizes(values))
            for first in range(0, count, together):
                part, some = self._part(values, feeds, first, together)
                outputs = self._run_together(part, some)
                for result, output in zip(results, outputs, strict=True):
                    result[first : first + together] = output
            return results

    def _whole_outputs(self, sizes: Sizes) -> list[Array]:
        """Arrays for the outputs of a batch that runs in parts."""
        taken = {output: bounds.size_of(output, sizes.values) for output in self.graph.outputs}
        if sum(taken.values()) > bounds.memory():
            raise too_much(taken, sum(taken.values()))
        return [np.empty(sizes.shape(output), output.dtype) for output in self.graph.outputs]

    def _run_together(self, values: Mapping[str, int], feeds: Mapping[Value, Array]) -> list[Array]:
        bound = self._plans.bind(values)
        bound.flag[0] = 0
        arrays = self._execute(bound, feeds)
        if bound.flag[0]:
            raise DataError(
                "an index in the inputs lies outside the model's table; "
                "check that token ids fit its vocabulary"
            )
        results: list[Array] = []
        for output in self.graph.outputs:
            array = self._array(bound, arrays, output)
            # Two names of one value are two arrays: a caller may write to either.
            taken = any(array is other for other in results)
            results.append(array.copy() if taken else array)
        return results

    def _part(
        self, values: Mapping[str, int], feeds: Mapping[Value, Array], first: int, together: int
    ) -> tuple[dict[str, int], dict[Value, Array]]:
        """The sizes and inputs of some samples of the batch, from the `first` on."""
        some = {value: array[first : first + together] for value, array in feeds.items()}
        count = values[self._batch or ""]
        return {**values, str(self._batch): min(together, count - first)}, some

    def _samples_together(self, values: Mapping[str, int]) -> int:
        """How many samples of the batch to run together, so that their values stay in the cache."""
        count = values.get(self._batch or "", 1)
        key = tuple(sorted(values.items()))
        if key not in self._together:
            if len(self._together) >= _KEPT_BATCHES:
                self._together.clear()
            memory = self._plans.needed(values)
            self._together[key] = samples.together(count, memory, self.team.threads)
        return self._together[key]

    def time_steps(
        self, values: Mapping[str, int], feeds: Mapping[Value, Array]
    ) -> dict[Step, float]:
        """The seconds that each step takes within a run on these feeds, medians of some runs.

        Of a batch that runs in parts, the first is timed for all. Views take no time, and are not
        in the answer.
        """
        calls = [step for step in self.steps if isinstance(step, Call)]
        noted: dict[Step, list[float]] = {}
        with self.team.lock:
            count = values.get(self._batch or "", 1)
            together = self._samples_together(values) if count > 1 else count
            if together < count:
                values, feeds = self._part(values, feeds, 0, together)
            bound = self._plans.bind(values)
            arrays = self._place(bound, feeds)
            for _ in range(_WALKS):
                first = position = 0
                for step in [*self.steps, None]:
                    if isinstance(step, Call):
                        position += 1
                    if isinstance(step, Call | Alias):
                        continue
                    row = bound.table[first:].ctypes.data
                    begin = time.perf_counter()
                    ticks = self.team.trace(row, position - first, bound.solo.alone)
                    # The clock's rate is that of the whole stretch.
                    rate = (time.perf_counter() - begin) / max(1, int(ticks.sum()))
                    for call, taken in zip(calls[first:position], ticks, strict=True):
                        noted.setdefault(call, []).append(float(taken) * rate)
                    first = position
                    if step is not None:
                        begin = time.perf_counter()
                        self._run_region(bound, arrays, step)
                        noted.setdefault(step, []).append(time.perf_counter() - begin)
        return {step: float(np.median(taken)) * count / together for step, taken in noted.items()}

    def _execute(self, bound: Plan, feeds: Mapping[Value, Array]) -> dict[Value, Array]:
        """Run every step; return the arrays that hold values outside the arena."""
        arrays = self._place(bound, feeds)
        begin = time.perf_counter()
        self._run_steps(bound, arrays)
        bound.solo.note(time.perf_counter() - begin)
        return arrays

    def _place(self, bound: Plan, feeds: Mapping[Value, Array]) -> dict[Value, Array]:
        """The feeds and new arrays for outputs, which kernels will find at their addresses."""
        arrays: dict[Value, Array] = dict(feeds)
        for output, shape in bound.made.items():
            arrays[output] = np.empty(shape, output.dtype)
        for value in bound.outside:
            if value in arrays:
                self._point(bound, value, arrays[value])
        return arrays

    def _run_steps(self, bound: Plan, arrays: dict[Value, Array]) -> None:
        table = bound.table.__array_interface__["data"][0]
        position = first = 0
        for step in self.steps:
            if isinstance(step, Call):
                position += 1
            elif isinstance(step, FallbackRegion):
                self.team.run(table + first * _ROW, position - first, bound.solo.alone)
                first = position
                self._run_region(bound, arrays, step)
        self.team.run(table + first * _ROW, position - first, bound.solo.alone)

    def _run_region(self, bound: Plan, arrays: dict[Value, Array], step: FallbackRegion) -> None:
        feeds = [self._array(bound, arrays, value) for value in step.inputs]
        for value, array in zip(step.outputs, step.run(feeds), strict=True):
            arrays[value] = array
            if value in bound.outside:
                arrays[value] = _as_planned(value, array, bound.sizes)
                self._point(bound, value, arrays[value])

    def _array(self, bound: Plan, arrays: Mapping[Value, Array], value: Value) -> Array:
        """A value as an array: the caller's own, or a copy of what lies in the arena."""
        if value.data is not None:
            return value.data.copy()
        root = self._plans.root(value)
        address = self._constants.address(value)
        if address is None and root in arrays:
            array = arrays[root]
            if value is root and value.producer is not None:
                return array
            shape = bound.sizes.shape(value) if value.shape is not None else array.shape
            return array.reshape(shape).copy()
        assert value.dtype is not None
        if address is None:
            address = self._plans.address(bound, root)
        return view(address, bound.sizes.shape(value), value.dtype).copy()

    @staticmethod
    def _point(bound: Plan, value: Value, array: Array) -> None:
        """Let the calls that take a value find it in an array."""
        # Cheaper than `array.ctypes.data`, and this happens in every run.
        address = array.__array_interface__["data"][0]
        if not address:
            raise ModelError(f"the array for {value.name!r} has no memory; give a copy of it")
        for position in bound.outside[value]:
            bound.arguments[position] = address


def _as_planned(value: Value, array: Array, sizes: Sizes) -> Array:
    """An array of ONNX Runtime's, checked: kernels read as much as its shape was said to hold.

    Raises:
        ModelError: if it is of another shape or type.
    """
    if array.shape != sizes.shape(value) or array.dtype != value.dtype:
        found = f"{array.dtype} {list(array.shape)}"
        planned = f"{value.dtype} {list(sizes.shape(value))}"
        raise ModelError(
            f"ONNX Runtime gives {value.name!r} as {found}, not {planned} as inferred from the "
            "model; export it anew"
        )
    return np.asarray(array, order="C")
