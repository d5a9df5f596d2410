"""A program bound to the sizes of an input: places in memory, and the table of its calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gossamer.errors import DataError, ModelError
from gossamer.graphs.operation import Array
from gossamer.runtime import bounds
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.graph import Graph, Value
from gossamer.runtime.memory import Arena, Lifetime, align, plan
from gossamer.runtime.signature import Address, Argument, Flag, Room
from gossamer.runtime.solo import Solo
from gossamer.runtime.steps import Alias, Call, Constants, Sizes, Step

# Bytes of plans that are kept.
_KEPT_BYTES = 4 << 20
# Bytes of a plan for each value that has a place in memory, about.
_BYTES_OF_PLACE = 128


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


class Plans:
    """The plans of a program's steps, and the memory that they share.

    Args:
        graph: that the steps compute.
        steps: in the order in which they run.
        constants: that they take.
        threads: that run them.

    Raises:
        ModelError: if a step takes what would have no place in memory.
    """

    def __init__(
        self, graph: Graph, steps: Sequence[Step], constants: Constants, threads: int
    ) -> None:
        self._graph, self._steps = graph, steps
        self._constants, self._threads = constants, threads
        self._roots = {step.output: step.source for step in steps if isinstance(step, Alias)}
        self._check()
        self.arena = Arena()
        self.kept: OrderedDict[tuple[tuple[str, int], ...], Plan] = OrderedDict()

    def _check(self) -> None:
        """Make sure that whatever a step takes will have a place in memory when it runs.

        Raises:
            ModelError: that names what would have none: kernels would read at address 0.
        """
        there = set(self._graph.inputs)
        there.update(v for node in self._graph.nodes if node.native for v in node.outputs)
        for step in self._steps:
            taken: Iterable[Argument] = []
            if isinstance(step, FallbackRegion):
                taken = step.inputs
                there.update(step.outputs)
            elif isinstance(step, Call):
                taken = step.arguments.values()
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

    def needed(self, values: Mapping[str, int]) -> int:
        """Bytes of memory that a run of these sizes takes, without the arrays of its caller."""
        return plan(list(self._lifetimes(Sizes(values)).values()))[1]

    def address(self, bound: Plan, value: Value) -> int:
        """Where a value lies that has a place in the plan that was bound last."""
        return self.arena.reach(bound.reach) + bound.offsets[self.root(value)]

    def bind(self, values: Mapping[str, int]) -> Plan:
        """The plan for these sizes, with memory for it.

        Raises:
            DataError: if this machine has less than the plan and the outputs take.
        """
        key = tuple(sorted(values.items()))
        bound = self.kept.get(key)
        if bound is None:
            bound = self._make_plan(Sizes(values))
            self.kept[key] = bound
            while len(self.kept) > 1 and self._nbytes() > _KEPT_BYTES:
                self.kept.popitem(last=False)
        else:
            self.kept.move_to_end(key)
        try:
            address = self.arena.reach(bound.reach)
        except MemoryError:
            taken = self._taken(bound.sizes, self._lifetimes(bound.sizes))
            raise too_much(taken, bound.reach) from None
        if bound.moves != self.arena.moves:
            positions, offsets = bound.inside
            bound.arguments[positions] = address + offsets
            bound.moves = self.arena.moves
        return bound

    def _nbytes(self) -> int:
        return sum(plan.nbytes for plan in self.kept.values())

    def _lifetimes(self, sizes: Sizes) -> dict[object, Lifetime]:
        """From when to when each value and each call's scratch is needed, and how large it is."""
        spans: dict[object, Lifetime] = {}
        for position, step in enumerate(self._steps):
            touched: list[Value] = []
            if isinstance(step, Call):
                touched = [a for a in step.arguments.values() if isinstance(a, Value)]
                for argument in step.arguments.values():
                    if isinstance(argument, Room):
                        size = align(sizes.number(argument.size)) * self._threads
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
        for output in self._graph.outputs:
            root = self.root(output)
            if root in spans:
                spans[root] = Lifetime(spans[root].size, spans[root].first, len(self._steps))
        return spans

    def _make_plan(self, sizes: Sizes) -> Plan:
        spans = self._lifetimes(sizes)
        calls = [step for step in self._steps if isinstance(step, Call)]
        offsets, reach = plan(list(spans.values()))
        taken = self._taken(sizes, spans)
        outputs = sum(size for value, size in taken.items() if value not in spans)
        if reach + outputs > bounds.memory():
            raise too_much(taken, reach + outputs)
        starts = np.cumsum([0, *(len(call.arguments) for call in calls)])
        arguments = np.zeros(starts[-1], np.int64)
        rows = arguments.ctypes.data + arguments.itemsize * starts[:-1]
        table = np.array([[call.address for call in calls], rows], np.int64).T.copy()
        places: dict[object, int] = dict(zip(spans, offsets, strict=True))
        result = Plan(sizes, places, reach, arguments, (arguments, arguments), table)
        result.solo = Solo(self._threads)
        inside: list[tuple[int, int]] = []
        every = [argument for call in calls for argument in call.arguments.values()]
        for position, argument in enumerate(every):
            if isinstance(argument, Address):
                arguments[position] = argument.number
            elif isinstance(argument, Flag):
                arguments[position] = result.flag.ctypes.data
            elif isinstance(argument, Room | Value):
                key = self.root(argument) if isinstance(argument, Value) else argument
                if key in places:
                    inside.append((position, places[key]))
                else:
                    assert isinstance(key, Value) and self._lives_outside(key)
                    result.outside.setdefault(key, []).append(position)
            else:
                assert not isinstance(argument, np.ndarray), "constants are placed before"
                arguments[position] = sizes.number(argument)
        pairs = np.array(inside, np.int64).reshape(-1, 2)
        result.inside = pairs[:, 0].copy(), pairs[:, 1].copy()
        for output in self._graph.outputs:
            if output in result.outside and output.producer is not None and output.producer.native:
                result.made[output] = sizes.shape(output)
        return result

    def _taken(self, sizes: Sizes, spans: Mapping[object, Lifetime]) -> dict[Value, int]:
        """Bytes of the values that a run has in memory, those of the outputs too."""
        values = {key: span.size for key, span in spans.items() if isinstance(key, Value)}
        for output in self._graph.outputs:
            if output not in values and output.known:
                values[output] = bounds.size_of(output, sizes.values)
        return values

    def _lives_outside(self, root: Value) -> bool:
        """Whether a value is an array of the caller's or of ONNX Runtime's."""
        if root.producer is None or not root.producer.native:
            return True
        return root in self._graph.outputs


def too_much(values: Mapping[Value, int], total: int) -> DataError:
    """The error of a run that would take so many bytes in all, and for each value."""
    largest = max(values, key=lambda value: values[value])
    return DataError(
        f"inputs of these sizes need {total / 2**30:.3g} GiB: "
        f"{bounds.describe(largest, values[largest])}; give fewer or shorter ones at once"
    )
