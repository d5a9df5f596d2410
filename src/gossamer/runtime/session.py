"""What the user holds: a compiled model with the call of `onnxruntime.InferenceSession`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, get_args

import numpy as np
import onnx
from numpy.typing import ArrayLike

from gossamer.errors import DataError, ModelError, OptionError
from gossamer.runtime import bounds, contest, fallback, lowering, onnx_file, passes, samples
from gossamer.runtime.codegen.target import target as find_target
from gossamer.runtime.dims import Dim, worded
from gossamer.runtime.graph import Array, Graph, Node, Value
from gossamer.runtime.memory import give_back
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.group_pointwise import group_pointwise
from gossamer.runtime.passes.partition import partition
from gossamer.runtime.passes.place_images import place_images
from gossamer.runtime.program import Alias, Call, Constants, Program, Step
from gossamer.runtime.threads import Team

Engine: TypeAlias = Literal["auto", "gossamer", "onnxruntime"]
"""What runs a model: `gossamer` is generated code wherever there is a kernel, `onnxruntime` is
ONNX Runtime alone, `auto` is the faster of the two."""

# Bytes of constants from which on it is worth a tenth of a second to return what compiling leaves.
_LARGE = 16 << 20


@dataclass(frozen=True)
class Port:
    """An input or output of a session, described as ONNX Runtime does."""

    name: str
    shape: list[int | str | None]
    type: str


@dataclass(frozen=True)
class Explanation:
    """How one node of the model runs."""

    name: str
    op: str
    kernel: str
    """The kernel, `view` for what costs nothing, or `ONNX Runtime`."""
    reason: str = ""
    """Why there is no kernel for it."""
    sparsity: float | None = None
    """Fraction of zeros among the node's weights."""
    seconds: float | None = None
    """What it takes within a run, where inputs to time it on were given. Of nodes that run together
    in ONNX Runtime the first bears the figure of all, and the others have none."""
    share: float | None = None
    """Fraction of the sum of all `seconds`, 0 to 1."""


def compile(
    model: str | Path | bytes | onnx.ModelProto,
    *,
    weights: Iterable[tuple[str, Array]] = (),
    threads: int | None = None,
    target: str = "host",
    engine: Engine = "auto",
) -> Session:
    """Compile an ONNX model for this machine.

    Args:
        model: a file, its bytes, or the loaded model. External data must lie in the file's folder.
        weights: names and elements of initializers that the model leaves empty.
        threads: how many threads an inference uses; by default all cores of this process.
        target: `host`, or `avx2` to leave AVX-512 unused; `neon` is what `host` has on ARM.
        engine: `auto` leaves a model to ONNX Runtime whole where that is faster, by timing both
            unless the zeros leave no doubt; `gossamer` and `onnxruntime` force one of them.

    Returns:
        A session for any batch size and sequence length that the model leaves open.

    Raises:
        ModelError: if the model is broken, or needs ONNX Runtime where that is not installed.
        OptionError: if there is no such target here, no such engine, or `threads` is not positive.
    """
    try:
        parts = onnx_file.read(model, weights)
        graph = import_model(parts.model, parts.weights)
        # From here on the graph alone holds the weights, and lets go of each once it is packed.
        del parts, weights
        is_large = graph.constant_bytes() > _LARGE
        session = Session(graph, threads=threads, target=target, engine=engine)
    except MemoryError:
        raise ModelError("there is not enough memory to compile the model; free some") from None
    if is_large:
        give_back()
    return session


class Session:
    """A compiled model. Several threads may call `run` at once; they take turns.

    Args:
        graph: an imported model.
        threads: how many threads an inference uses; by default all cores of this process.
        target: the processor to generate code for.
        engine: what runs it.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int | None = None,
        target: str = "host",
        engine: Engine = "auto",
    ) -> None:
        if threads is not None and threads < 1:
            raise OptionError(f"threads must be at least 1, not {threads}")
        if engine not in get_args(Engine):
            raise OptionError(f"no engine {engine!r}; choose from {', '.join(get_args(Engine))}")
        self.threads = threads or _cores()
        self._target = find_target(target)
        if not self._target.runs_here:
            raise OptionError(f"target {target!r} is for another processor; use 'host' here")
        # Kept: passes rename what stands behind an output, never what the user calls it.
        self._names = [value.name for value in graph.outputs]
        self._team = Team(self.threads, self._target)
        self._program = self._compile(graph, engine)
        self._graph = self._program.graph
        self._inputs = {value.name: value for value in self._graph.inputs}

    def _compile(self, graph: Graph, engine: Engine) -> Program:
        bounds.check(graph)
        # As it was: what passes make of it is for generated code.
        untouched = graph.copy()
        if engine == "onnxruntime":
            return self._leave(untouched, "the engine asked for")
        passes.optimize(graph)
        partition(graph)
        if engine == "gossamer" or not contest.is_possible() or contest.surely_won(graph):
            # It holds the weights as they were, which would stay beside what is made of them.
            untouched.clear()
            return self._generate(graph)
        reason = contest.forfeit(graph)
        if reason:
            return self._leave(untouched, reason)
        return contest.winner(self._generate(graph), lambda: self._leave(untouched))

    def _generate(self, graph: Graph) -> Program:
        """Generated code for what is native, and ONNX Runtime for the rest."""
        batch = samples.batch_symbol(graph)
        place_images(graph)
        assign_layouts(graph)
        group_pointwise(graph)
        # Once more: layouts add what kernels need around the elements.
        bounds.check(graph)
        return self._bind(graph, batch)

    def _leave(self, graph: Graph, reason: str = "") -> Program:
        """ONNX Runtime for the whole model."""
        for node in graph.nodes:
            node.reason = reason
        return self._bind(graph)

    def _bind(self, graph: Graph, batch: str | None = None) -> Program:
        constants = Constants()
        return Program(graph, self._lower(graph, constants), constants, self._team, batch)

    def _lower(self, graph: Graph, constants: Constants) -> list[Step]:
        steps: list[Step] = []
        runs = fallback.schedule(graph)
        last = {value: node for run in runs for node in run for value in node.inputs}
        for position, run in enumerate(runs):
            if run[0].native:
                for node in run:
                    _make_contiguous(node)
                    for step in lowering.lower(node, self._target):
                        constants.place(step)
                        steps.append(step)
                    graph.forget_constants(node, last)
                continue
            later = {v for other in runs[position + 1 :] for node in other for v in node.inputs}
            needed = later | set(graph.outputs)
            outputs = [v for node in run for v in node.outputs if v in needed]
            steps.append(fallback.FallbackRegion(run, outputs, graph.opsets, self.threads))
            for node in run:
                graph.forget_constants(node, last)
        return steps

    @property
    def engine(self) -> str:
        """`onnxruntime` where the whole model is left to it, else `gossamer`."""
        kinds = {type(step) for step in self._program.steps}
        return "onnxruntime" if kinds == {fallback.FallbackRegion} else "gossamer"

    def get_inputs(self) -> list[Port]:
        """The inputs: name, shape (a string for a size that is open) and type."""
        return [_port(value, value.name) for value in self._graph.inputs]

    def get_outputs(self) -> list[Port]:
        """The outputs, described likewise."""
        pairs = zip(self._graph.outputs, self._names, strict=True)
        return [_port(value, name) for value, name in pairs]

    def run(
        self, output_names: Sequence[str] | None, feeds: Mapping[str, ArrayLike]
    ) -> list[Array]:
        """Run the model.

        Args:
            output_names: the outputs wanted, all if None.
            feeds: an array for each input by name.

        Raises:
            DataError: if an input is missing, unknown, or of another type or shape than the model
                takes; or if an index in it points outside the table that it looks up.
            OptionError: if there is no output of a name.
        """
        for name in output_names or ():
            if name not in self._names:
                raise OptionError(f"no output {name!r}; the outputs are {', '.join(self._names)}")
        arrays, sizes = self._check(feeds)
        results = dict(zip(self._names, self._program.run(sizes, arrays), strict=True))
        return [results[name] for name in output_names or self._names]

    def _check(self, feeds: Mapping[str, ArrayLike]) -> tuple[dict[Value, Array], dict[str, int]]:
        known = self._inputs
        for name in feeds:
            if name not in known:
                raise DataError(f"no input {name!r}; the inputs are {', '.join(known)}")
        arrays: dict[Value, Array] = {}
        sizes: dict[str, int] = {}
        for name, value in known.items():
            if name not in feeds:
                raise DataError(f"input {name!r} is missing; give an array of shape {value.shape}")
            try:
                array = np.asarray(feeds[name])
            except ValueError:
                raise DataError(f"input {name!r} is no array; give rows of one length") from None
            if value.dtype is not None and array.dtype != value.dtype:
                raise DataError(
                    f"input {name!r} must be {value.dtype}, not {array.dtype}; "
                    f"convert it with .astype('{value.dtype}')"
                )
            if value.shape is not None:
                _match(name, value, array, sizes)
            arrays[value] = np.asarray(array, order="C")
        for limit in self._graph.limits:
            broken = worded(limit, sizes)
            if broken:
                raise DataError(broken)
        return arrays, sizes

    def explain(self, feeds: Mapping[str, ArrayLike] | None = None) -> list[Explanation]:
        """How each node runs: its kernel, or why it is left to ONNX Runtime.

        Args:
            feeds: inputs to time each kernel on; without them no times are given.

        Returns:
            A line for each node, in the order in which they run.

        Raises:
            DataError: if `feeds` do not fit; see `run`.
        """
        seconds: dict[Step, float] = {}
        if feeds is not None:
            arrays, sizes = self._check(feeds)
            seconds = self._program.time_steps(sizes, arrays)
        whole = sum(seconds.values())
        lines = []
        for step in self._program.steps:
            explained = _explain(step)
            if step in seconds:
                taken = seconds[step]
                explained[0] = replace(explained[0], seconds=taken, share=taken / whole)
            lines += explained
        return lines

    def close(self) -> None:
        """End the session's threads; a later run starts them again."""
        self._team.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _explain(step: Step) -> list[Explanation]:
    """A line for each node of a step."""
    if isinstance(step, Call):
        return [Explanation(step.name, step.op, step.kernel, sparsity=step.sparsity)]
    if isinstance(step, Alias):
        node = step.output.producer
        return [Explanation(node.name if node else "", node.op if node else "", "view")]
    return [Explanation(node.name, node.op, "ONNX Runtime", node.reason) for node in step.nodes]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _make_contiguous(node: Node) -> None:
    """Arrange a node's constants as kernels take them: until here they may be transposed views."""
    for value in node.inputs:
        if value is not None and value.data is not None:
            value.data = np.asarray(value.data, order="C")


def _match(name: str, value: Value, array: Array, sizes: dict[str, int]) -> None:
    """Check an array's shape against the input's, and learn what its symbols stand for."""
    assert value.shape is not None

    def misfit(remedy: str) -> DataError:
        shape = "[" + ", ".join(map(str, value.shape or ())) + "]"
        found = list(array.shape)
        return DataError(f"input {name!r} must have the shape {shape}, not {found}{remedy}")

    if array.ndim != len(value.shape):
        raise misfit("; add or remove axes")
    for size, number in zip(value.shape, array.shape, strict=True):
        if isinstance(size, Dim):
            (symbol,) = size.symbols
            if number < 1:
                raise misfit("; give at least one along each axis")
            if sizes.setdefault(symbol, number) != number:
                raise misfit(f", as {symbol} is {sizes[symbol]} elsewhere")
        elif size != number:
            raise misfit("; pad or reshape it")


def _port(value: Value, name: str) -> Port:
    shape: list[int | str | None] = [
        str(size) if isinstance(size, Dim) else size for size in value.shape or ()
    ]
    return Port(name, shape, f"tensor({_TYPE_NAMES.get(str(value.dtype), str(value.dtype))})")


_TYPE_NAMES = {"float32": "float", "float64": "double"}
