"""A compiled model: calls of kernels in order, bound to memory for each shape of the input."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from gossamer.errors import DataError, ModelError
from gossamer.runtime import bounds, samples
from gossamer.runtime.dims import LARGEST, Size, number
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Array, Graph, Value
from gossamer.runtime.memory import Arena, ConstantMemory, Lifetime, align, plan, view
from gossamer.runtime.solo import Solo
from gossamer.runtime.threads import Team

# Bytes of plans that are kept, and how many sizes of a batch.
_KEPT_BYTES, _KEPT_BATCHES = 4 << 20, 1024
# Bytes of a plan for each value that has a place in memory, about.
_BYTES_OF_PLACE = 128
_WALKS = 5
# Bytes of a row of a plan's table.
_ROW = 16


class Sizes:
    """The numbers that the symbols of the input's shapes stand for in a run."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = dict(values)

    def number(self, size: Size) -> int:
        """A size as a number.

        Raises:
            DataError: if it is beyond what a tensor of sizes can hold.
        """
        result = number(size, self.values)
        if result > LARGEST:
            raise DataError(f"inputs of these sizes make {size} too large; give smaller ones")
        return result

    def shape(self, value: Value) -> tuple[int, ...]:
        """A value's shape in numbers."""
        assert value.shape is not None
        return tuple(self.number(size) for size in value.shape)


@dataclass(frozen=True)
class Scratch:
    """Memory that each thread has for itself during a call; bytes for one thread."""

    size: Callable[[Sizes], int]


@dataclass(frozen=True)
class Flag:
    """Where a kernel reports that an index from the data lies outside."""


Argument: TypeAlias = "Value | Array | Scratch | Flag | int | Callable[[Sizes], int]"


@dataclass(eq=False)
class Call:
    """A kernel with its arguments."""

    kernel: str
    """What kind of kernel, for people to read."""
    address: int
    arguments: list[Argument]
    name: str
    op: str
    sparsity: float | None = None
    """Fraction of zeros among its weights, if it has any."""
    code: str = ""
    """What the machine code at the address depends on, in one word."""


@dataclass(eq=False)
class Alias:
    """A value that is another one's memory under another shape."""

    source: Value
    output: Value


Step: TypeAlias = "Call | Alias | FallbackRegion"


class Constants:
    """Where the constants lie that steps take, and the views of constants."""

    def __init__(self) -> None:
        self._memory = ConstantMemory()
        self._places: dict[Value, int] = {}

    def place(self, step: Step) -> None:
        """Copy the constants that a step takes to memory of the program's own."""
        if isinstance(step, Alias):
            self._copy(step.source)
            if step.source in self._places:
                self._places[step.output] = self._places[step.source]
        elif isinstance(step, Call):
            for position, argument in enumerate(step.arguments):
                if isinstance(argument, np.ndarray):
                    step.arguments[position] = self._memory.place(argument)
                elif isinstance(argument, Value):
                    self._copy(argument)
                    step.arguments[position] = self._places.get(argument, argument)

    def address(self, value: Value) -> int | None:
        """Where a constant or a view of one lies; None for what a run computes."""
        return self._places.get(value)

    def _copy(self, value: Value) -> None:
        if value.data is not None and value not in self._places:
            self._places[value] = self._memory.place(value.data)


@dataclass(eq=False)
class Plan:
    """A program bound to the sizes of one input.

    All plans of a program share its arena, in which values have places; an argument that is the
    address of one is written anew whenever the arena has moved.
    """

    sizes: Sizes
    offsets: dict[object, int]
    """Where each value, and each call's scratch, lies within the arena, in bytes."""
    reach: int
    """How much of the arena is used, in bytes."""
    arguments: Array
    """Of all calls, one after the other."""
    inside: tuple[Array, Array]
    """Positions of the arguments that are addresses in the arena, and the offsets of these."""
    table: Array
    """[calls, 2]: the address of each kernel and of its arguments."""
    moves: int = -1
    """How often the arena had moved when the addresses were written."""
    made: dict[Value, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of the graph's outputs that kernels write straight into the caller's arrays."""
    outside: dict[Value, list[int]] = field(default_factory=dict)
    """Positions of the arguments that take the address of a value in an array of the caller."""
    flag: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    """[1], not zero once a kernel met an index from the data that lies outside."""
    solo: Solo = field(default_factory=lambda: Solo(1))
    """Whether helpers pay."""

    @property
    def nbytes(self) -> int:
        """What it takes itself, about."""
        return _BYTES_OF_PLACE * len(self.offsets) + self.arguments.nbytes + self.table.nbytes


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
        self._roots = {step.output: step.source for step in self.steps if isinstance(step, Alias)}
        self._check()
        self._arena = Arena()
        self._plans: OrderedDict[tuple[tuple[str, int], ...], Plan] = OrderedDict()
        self._batch = batch
        self._together: dict[tuple[tuple[str, int], ...], int] = {}

    def _check(self) -> None:
        """Make sure that whatever a step takes will have a place in memory when it runs.

        Raises:
            ModelError: that names what would have none: kernels would read at address 0.
        """
        there = set(self.graph.inputs)
        there.update(v for node in self.graph.nodes if node.native for v in node.outputs)
        for step in self.steps:
            taken: Sequence[Argument] = []
            if isinstance(step, FallbackRegion):
                taken = step.inputs
                there.update(step.outputs)
            elif isinstance(step, Call):
                taken = step.arguments
            for value in taken:
                if not isinstance(value, Value) or self._constants.address(value) is not None:
                    continue
                if self.root(value) not in there:
                    raise ModelError(
                        f"nothing gives {value.name!r} a place in memory; "
                        "compile with engine='onnxruntime'"
                    )

    def root(self, value: Value) -> Value:
        """The value whose memory this one is."""
        while value in self._roots:
            value = self._roots[value]
        return value

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
            raise _too_much(taken, sum(taken.values()))
        return [np.empty(sizes.shape(output), output.dtype) for output in self.graph.outputs]

    def _run_together(self, values: Mapping[str, int], feeds: Mapping[Value, Array]) -> list[Array]:
        bound = self._bind(values)
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
            _, memory = plan(list(self._lifetimes(Sizes(values)).values()))
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
            bound = self._bind(values)
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
        root = self.root(value)
        address = self._constants.address(value)
        if address is None and root in arrays:
            array = arrays[root]
            if value is root and value.producer is not None:
                return array
            shape = bound.sizes.shape(value) if value.shape is not None else array.shape
            return array.reshape(shape).copy()
        assert value.dtype is not None
        if address is None:
            address = self._arena.reach(bound.reach) + bound.offsets[root]
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

    # Binding

    def _bind(self, values: Mapping[str, int]) -> Plan:
        """The plan for these sizes, with memory for it.

        Raises:
            DataError: if this machine has less than the plan and the outputs take.
        """
        key = tuple(sorted(values.items()))
        bound = self._plans.get(key)
        if bound is None:
            bound = self._make_plan(Sizes(values))
            self._plans[key] = bound
            while len(self._plans) > 1 and self._bytes_of_plans() > _KEPT_BYTES:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        try:
            address = self._arena.reach(bound.reach)
        except MemoryError:
            taken = self._taken(bound.sizes, self._lifetimes(bound.sizes))
            raise _too_much(taken, bound.reach) from None
        if bound.moves != self._arena.moves:
            positions, offsets = bound.inside
            bound.arguments[positions] = address + offsets
            bound.moves = self._arena.moves
        return bound

    def _bytes_of_plans(self) -> int:
        return sum(plan.nbytes for plan in self._plans.values())

    def _lifetimes(self, sizes: Sizes) -> dict[object, Lifetime]:
        """From when to when each value and each call's scratch is needed, and how large it is."""
        spans: dict[object, Lifetime] = {}
        for position, step in enumerate(self.steps):
            touched: list[Value] = []
            if isinstance(step, Call):
                touched = [a for a in step.arguments if isinstance(a, Value)]
                for argument in step.arguments:
                    if isinstance(argument, Scratch):
                        size = align(argument.size(sizes)) * self.team.threads
                        spans[argument] = Lifetime(size, position, position)
            elif isinstance(step, FallbackRegion):
                touched = list(step.inputs)
            for value in touched:
                root = self.root(value)
                constant = self._constants.address(root) is not None
                if constant or self._lives_outside(root):
                    continue
                before = spans.get(root)
                assert root.dtype is not None
                size = root.layout.size(sizes.shape(root), root.dtype.itemsize)
                spans[root] = Lifetime(size, before.first if before else position, position)
        for output in self.graph.outputs:
            root = self.root(output)
            if root in spans:
                spans[root] = Lifetime(spans[root].size, spans[root].first, len(self.steps))
        return spans

    def _make_plan(self, sizes: Sizes) -> Plan:
        spans = self._lifetimes(sizes)
        calls = [step for step in self.steps if isinstance(step, Call)]
        offsets, reach = plan(list(spans.values()))
        taken = self._taken(sizes, spans)
        outputs = sum(size for value, size in taken.items() if value not in spans)
        if reach + outputs > bounds.memory():
            raise _too_much(taken, reach + outputs)
        starts = np.cumsum([0, *(len(call.arguments) for call in calls)])
        arguments = np.zeros(starts[-1], np.int64)
        rows = arguments.ctypes.data + arguments.itemsize * starts[:-1]
        table = np.array([[call.address for call in calls], rows], np.int64).T.copy()
        places: dict[object, int] = dict(zip(spans, offsets, strict=True))
        result = Plan(sizes, places, reach, arguments, (arguments, arguments), table)
        result.solo = Solo(self.team.threads)
        inside: list[tuple[int, int]] = []
        for position, argument in enumerate(a for call in calls for a in call.arguments):
            if isinstance(argument, int):
                arguments[position] = argument
            elif isinstance(argument, Flag):
                arguments[position] = result.flag.ctypes.data
            elif isinstance(argument, (Scratch, Value)):
                key = self.root(argument) if isinstance(argument, Value) else argument
                if key in places:
                    inside.append((position, places[key]))
                else:
                    assert isinstance(key, Value) and self._lives_outside(key)
                    result.outside.setdefault(key, []).append(position)
            else:
                assert not isinstance(argument, np.ndarray), "constants are placed before"
                arguments[position] = int(argument(sizes))
        pairs = np.array(inside, np.int64).reshape(-1, 2)
        result.inside = pairs[:, 0].copy(), pairs[:, 1].copy()
        for output in self.graph.outputs:
            if output in result.outside and output.producer is not None and output.producer.native:
                result.made[output] = sizes.shape(output)
        return result

    def _taken(self, sizes: Sizes, spans: Mapping[object, Lifetime]) -> dict[Value, int]:
        """Bytes of the values that a run has in memory, those of the outputs too."""
        values = {key: span.size for key, span in spans.items() if isinstance(key, Value)}
        for output in self.graph.outputs:
            if output not in values and output.known:
                values[output] = bounds.size_of(output, sizes.values)
        return values

    def _lives_outside(self, root: Value) -> bool:
        """Whether a value is an array of the caller's or of ONNX Runtime's."""
        if root.producer is None or not root.producer.native:
            return True
        return root in self.graph.outputs


def _too_much(values: Mapping[Value, int], total: int) -> DataError:
    """The error of a run that would take so many bytes in all, and for each value."""
    largest = max(values, key=lambda value: values[value])
    return DataError(
        f"inputs of these sizes need {total / 2**30:.3g} GiB: "
        f"{bounds.describe(largest, values[largest])}; give fewer or shorter ones at once"
    )


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
