"""What the user holds: a compiled model with the call of `onnxruntime.InferenceSession`."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import onnx

from gossamer import arguments, machine
from gossamer.errors import (
    DataError,
    GossamerError,
    ModelError,
    OptionError,
    UnsafeModelError,
    first_line,
)
from gossamer.graphs.dims import worded
from gossamer.graphs.operation import Array
from gossamer.runtime import bounds, contest, emptiness, fallback, lowering, passes, samples
from gossamer.runtime.codegen.target import target as find_target
from gossamer.runtime.feeds import (
    BeyondProgram,
    as_array,
    check_mapping,
    check_names,
    contiguous,
    differs,
    match,
    of_type,
)
from gossamer.runtime.graph import Graph, Node, Value
from gossamer.runtime.memory import give_back
from gossamer.runtime.onnx_file import InvalidOnnx
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.ort import Spinning
from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.group_pointwise import group_pointwise
from gossamer.runtime.passes.partition import partition
from gossamer.runtime.passes.place_images import place_images
from gossamer.runtime.ports import Port, Ports, merged
from gossamer.runtime.program import Program
from gossamer.runtime.steps import Alias, Call, Constants, Step
from gossamer.runtime.threads import Team
from gossamer.runtime.whole import Source, WholeModel
from gossamer.summary import Summary

Engine: TypeAlias = Literal["auto", "gossamer", "onnxruntime"]
"""What runs a model: `gossamer` is generated code wherever there is a kernel, `onnxruntime` is
ONNX Runtime alone, `auto` is the faster of the two."""

# Bytes of constants from which on it is worth a tenth of a second to return what compiling leaves.
_LARGE = 16 << 20


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
        threads: how many threads an inference uses at most; by default a physical core each
            that this process may use. No more run than there are processors for them.
        target: `host` is all that this processor has; `x86-64-v3` leaves AVX-512 unused. Also
            `x86-64-v4` and `aarch64`, each with features such as `+vnni`, where the processor is
            such a one; see docs/internals/runtime.md.
        engine: `auto` leaves a model to ONNX Runtime whole where that is faster, by timing both
            unless the zeros leave no doubt; `gossamer` and `onnxruntime` force one of them.

    Returns:
        A session for any batch size and sequence length that the model leaves open.

    Raises:
        ModelError: if the model is broken; if it needs ONNX Runtime where that is not installed; or
            if no code could be generated for it with the engine `gossamer`.
        UnsafeModelError: if the model is one that no engine may be given.
        OptionError: if there is no such target here, no such engine, or `threads` is no positive
            whole number.
    """
    try:
        source = Source(model, weights)
        # From here on the source alone holds the weights, if they cannot be had again.
        del model, weights
        return Session(source, threads=threads, target=target, engine=engine)
    except MemoryError:
        raise ModelError("there is not enough memory to compile the model; free some") from None


class Session(Summary):
    """A compiled model. Several threads may call `run` at once; in generated code they take turns.

    Args:
        source: where the model comes from.
        threads: how many threads an inference uses at most, see `compile`; by default what is left
            to ONNX Runtime whole uses as many as that would by itself, within a container's quota.
        target: the processor to generate code for.
        engine: what runs it.
    """

    def __init__(
        self,
        source: Source,
        *,
        threads: int | None = None,
        target: str = "host",
        engine: Engine = "auto",
    ) -> None:
        if not isinstance(engine, str) or engine not in get_args(Engine):
            raise OptionError(f"no engine {engine!r}; choose from {', '.join(get_args(Engine))}")
        self._asked = _checked_threads(threads)
        self.threads = min(self._asked or machine.default_threads(), machine.usable_processors())
        if not isinstance(target, str):
            raise OptionError(f"a target is a name, not {target!r}; 'host' is this processor")
        self._target = find_target(target)
        if not self._target.runs_here:
            raise OptionError(f"target {target!r} is for another processor; use 'host' here")
        self._source = source
        # Feeds that generated code does not take are ONNX Runtime's, where the engine may be that.
        self._may_leave = engine == "auto" and contest.is_possible()
        self._beyond: WholeModel | None = None
        self._program: Program | None = None
        self._whole: WholeModel | None = None
        reason = source.wishes.reason
        if engine == "onnxruntime":
            reason = reason or "the engine asked for"
        elif not reason:
            reason = self._compile()
        if reason:
            self._whole = self._left(reason)
        elif self._may_leave:
            source.remember()

    def _compile(self) -> str:
        """Generate code, or return why ONNX Runtime is to run the model whole.

        Raises:
            ModelError: if neither can be.
        """
        try:
            return self._contend()
        except (UnsafeModelError, MemoryError):
            raise
        except Exception as error:
            if not self._may_leave:
                raise _refusal(error) from error
            refusal, is_ours = _refusal(error), isinstance(error, GossamerError)
            # They hold the weights.
            traceback.clear_frames(error.__traceback__)
            self._let_go()
        try:
            self._whole = self._left(first_line(refusal))
        except ModelError as theirs:
            if is_ours:
                raise refusal from theirs
            raise
        if isinstance(refusal, InvalidOnnx):
            warnings.warn(f"{refusal}; ONNX Runtime runs it all the same", stacklevel=4)
        return ""

    def _contend(self) -> str:
        """Generate code; return why not, if ONNX Runtime is known or found to be faster."""
        reason = contest.forfeit_unread(self._source.operators) if self._may_leave else ""
        if reason:
            return reason
        _check_kinds(self._source.ports)
        parts = self._source.read()
        graph = import_model(parts.model, parts.weights)
        # From here on the graph alone holds the weights, and lets go of each once it is packed.
        del parts
        bounds.check(graph)
        names = [value.name for value in graph.outputs]
        is_large = graph.constant_bytes() > _LARGE
        passes.optimize(graph)
        partition(graph)
        is_sure = not self._may_leave or contest.surely_won(graph)
        if not is_sure:
            reason = contest.forfeit(graph)
            if reason:
                graph.clear()
        if not reason:
            team = Team(self.threads, self._target)
            program = self._generate(graph, team)
            self._take(program, names)
            if not is_sure:
                reason = contest.lost(program, self._run_program, self._left)
            if reason:
                self._let_go()
                del program
        del graph
        if is_large:
            give_back()
        return reason

    def _take(self, program: Program, names: list[str]) -> None:
        self._program, self._team, self._graph = program, program.team, program.graph
        self._inputs = {value.name: value for value in program.graph.inputs}
        # Kept: passes rename what stands behind an output, never what the user calls it.
        self._names = names

    def _let_go(self) -> None:
        """Drop the program, if there is one by now."""
        if self._program is not None:
            self._team.close()
            self._program = None
            del self._team, self._graph, self._inputs

    def _left(self, reason: str, spinning: Spinning = "default") -> WholeModel:
        """The model in ONNX Runtime, as the user's own session would have it."""
        # By itself it takes a thread for each core, however little of them a container may use.
        its_own = self._asked is None and not machine.has_quota()
        threads = None if its_own else self.threads
        return WholeModel(self._source, reason, threads, spinning)

    def _generate(self, graph: Graph, team: Team) -> Program:
        """Generated code for what is native, and ONNX Runtime for the rest."""
        batch = samples.batch_symbol(graph)
        place_images(graph)
        assign_layouts(graph)
        group_pointwise(graph)
        # Once more: layouts add what kernels need around the elements.
        bounds.check(graph)
        constants = Constants()
        return Program(graph, self._lower(graph, constants), constants, team, batch)

    def _lower(self, graph: Graph, constants: Constants) -> list[Step]:
        steps: list[Step] = []
        types: fallback.Types = {}
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
            region = fallback.FallbackRegion(run, outputs, graph.opsets, self.threads, types)
            steps.append(region)
            for node in run:
                graph.forget_constants(node, last)
        return steps

    @property
    def engine(self) -> str:
        """`onnxruntime` where the whole model is left to it, else `gossamer`."""
        if self._program is None:
            return "onnxruntime"
        kinds = {type(step) for step in self._program.steps}
        return "onnxruntime" if kinds == {fallback.FallbackRegion} else "gossamer"

    @property
    def is_left(self) -> bool:
        """Whether the model is in one session of ONNX Runtime, and none of it in a program."""
        return self._whole is not None

    def summary(self) -> dict[str, str]:
        """Return what it runs, in words."""

        def told(ports: list[Port]) -> str:
            return ", ".join(f"{port.name} {port.type} {port.shape}" for port in ports)

        return {
            "engine": self.engine,
            "threads": str(self.threads),
            "inputs": told(self.get_inputs()),
            "outputs": told(self.get_outputs()),
        }

    def get_inputs(self) -> list[Port]:
        """The inputs: name, shape (a word or None for a size that is open) and type."""
        if self._whole is not None:
            return self._whole.inputs
        return [port for port in self._source.ports.inputs if port.name in self._inputs]

    def get_outputs(self) -> list[Port]:
        """The outputs, described likewise."""
        if self._whole is not None:
            return self._whole.outputs
        pairs = zip(self._source.ports.outputs, self._graph.outputs, strict=True)
        return [merged(port, value) for port, value in pairs]

    def get_overridable_initializers(self) -> list[Port]:
        """Inputs that need not be fed, since the model holds what they are by default."""
        return self._source.ports.defaults if self._whole is None else self._whole.defaults

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: Any = None,
    ) -> list[Any]:
        """Run the model.

        Args:
            output_names: the outputs wanted, all if None or empty.
            input_feed: an array for each input by name; a list of arrays for a sequence.
            run_options: an `onnxruntime.RunOptions`. Generated code heeds its `terminate` before a
                run; a model with initializers that adapters may replace is run by ONNX Runtime.

        Raises:
            DataError: if an input is missing, unknown, or of another type or shape than the model
                takes; or if an index in it points outside the table that it looks up.
            OptionError: if there is no output of a name.
            ModelError: if ONNX Runtime cannot run what is left to it.
        """
        check_mapping(input_feed)
        emptiness.check_feeds(self._source.fed, input_feed)
        if self._program is None:
            assert self._whole is not None
            return self._whole.run(output_names, input_feed, run_options)
        wanted = check_names(output_names, self._names)
        try:
            if run_options is not None:
                self._check_options(run_options)
            found = self._run_program(input_feed)
        except (BeyondProgram, ModelError) as error:
            if not self._may_leave:
                raise
            return self._run_beyond(error, wanted, input_feed, run_options)
        results = dict(zip(self._names, found, strict=True))
        return [results[name] for name in wanted]

    def _check_options(self, run_options: Any) -> None:
        """Leave to ONNX Runtime a run whose options say more than generated code heeds.

        Raises:
            ModelError: if the run is to end at once.
            BeyondProgram: if there may be adapters among the options, of which they do not tell.
        """
        if run_options.terminate:
            raise ModelError("the run options say to terminate; set terminate to False")
        if self._source.ports.defaults:
            raise BeyondProgram("adapters are ONNX Runtime's; leave out the run options")

    def _run_program(self, feeds: Mapping[str, Any]) -> list[Array]:
        assert self._program is not None
        arrays, sizes = self._check(feeds)
        return self._program.run(sizes, arrays)

    def _run_beyond(
        self,
        error: BeyondProgram | ModelError,
        output_names: Sequence[str] | None,
        feeds: Mapping[str, Any],
        run_options: Any,
    ) -> list[Any]:
        """Run in ONNX Runtime what the program does not take.

        Raises:
            DataError: the program's own, if ONNX Runtime does not take it either.
        """
        try:
            if self._beyond is None:
                self._beyond = self._left(first_line(error))
            results = self._beyond.run(output_names, feeds, run_options)
        except GossamerError as theirs:
            raise error from theirs
        if isinstance(error, BeyondProgram) and error.against_onnx:
            warnings.warn(f"{error}; ONNX Runtime runs it all the same", stacklevel=3)
        return results

    def in_onnxruntime(self) -> Any:
        """The model in a session of ONNX Runtime itself, for what only that can do with it.

        Raises:
            ModelError: if ONNX Runtime is not installed, or refuses the model.
            DataError: if the model was changed since it was compiled.
        """
        if self._whole is not None:
            return self._whole.session
        if self._beyond is None:
            self._beyond = self._left("asked for")
        return self._beyond.session

    def _check(self, feeds: Mapping[str, Any]) -> tuple[dict[Value, Array], dict[str, int]]:
        known = self._inputs
        beyond = None
        for name in feeds:
            if name in known:
                continue
            if name not in [port.name for port in self._source.ports.defaults]:
                raise DataError(f"no input {name!r}; the inputs are {', '.join(known)}")
            beyond = BeyondProgram(
                f"input {name!r} is a constant in generated code; leave it out, or compile with "
                "engine='auto'"
            )
        arrays: dict[Value, Array] = {}
        sizes: dict[str, int] = {}
        for name, value in known.items():
            if name not in feeds:
                raise DataError(f"input {name!r} is missing; give an array of shape {value.shape}")
            array = as_array(name, feeds[name], value.dtype)
            if value.dtype is not None:
                array = of_type(name, array, value.dtype)
            if value.shape is not None and value.stated is not None:
                misfit = match(name, value.stated, array, sizes)
                unlike = differs(name, value.stated, value.shape, array)
                beyond = beyond or misfit or (BeyondProgram(unlike) if unlike else None)
            arrays[value] = array
        for limit in self._graph.limits:
            broken = worded(limit, sizes)
            if broken and beyond is None:
                beyond = BeyondProgram(broken)
        if beyond is not None:
            raise beyond
        return {value: contiguous(value.name, array) for value, array in arrays.items()}, sizes

    def explain(self, feeds: Mapping[str, Any] | None = None) -> list[Explanation]:
        """How each node runs: its kernel, or why it is left to ONNX Runtime.

        Args:
            feeds: inputs to time each kernel on; without them no times are given.

        Returns:
            A line for each node, in the order in which they run.

        Raises:
            DataError: if `feeds` do not fit; see `run`.
        """
        if feeds is not None:
            check_mapping(feeds)
            emptiness.check_feeds(self._source.fed, feeds)
        if self._program is None:
            assert self._whole is not None
            return _explain_whole(self._whole, feeds)
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
        if self._program is not None:
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


def _explain_whole(whole: WholeModel, feeds: Mapping[str, Any] | None) -> list[Explanation]:
    """A line for each node of a model that is left to ONNX Runtime; the first bears all time."""
    lines = [Explanation(name, op, "ONNX Runtime", whole.reason) for name, op in whole.nodes]
    if feeds is not None and lines:
        lines[0] = replace(lines[0], seconds=whole.seconds(feeds), share=1.0)
    return lines


def _refusal(error: Exception) -> GossamerError:
    """What was raised on the way to generated code, as an error that says so."""
    if isinstance(error, GossamerError):
        return error
    return ModelError(
        f"no code could be generated for the model ({type(error).__name__}: "
        f"{first_line(error)[:200]}); install gossamer[ort] and compile it with engine='auto', "
        "which leaves it to ONNX Runtime"
    )


def _check_kinds(ports: Ports) -> None:
    """Refuse what is no array in generated code."""
    for port in (*ports.inputs, *ports.outputs):
        if port.type and not port.is_tensor:
            raise ModelError(
                f"{port.name!r} is {port.type}, which generated code does not take; compile the "
                "model with engine='auto', which leaves it to ONNX Runtime"
            )


def _checked_threads(threads: int | None) -> int | None:
    if threads is None:
        return None
    return arguments.whole("threads", threads, 1)


def _make_contiguous(node: Node) -> None:
    """Arrange a node's constants as kernels take them: until here they may be transposed views."""
    for value in node.inputs:
        if value is not None and value.data is not None:
            value.data = np.asarray(value.data, order="C")
