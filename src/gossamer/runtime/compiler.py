"""The way through: from a model to what runs it.

read, import, rewrite, partition, place, lower, bind: each takes what the one before gave. Whether
generated code or ONNX Runtime runs the model is decided on the way, as soon as it can be.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import onnx

from gossamer import arguments, machine
from gossamer.errors import (
    GossamerError,
    ModelError,
    OptionError,
    UnsafeModelError,
    first_line,
)
from gossamer.graphs.operation import Array
from gossamer.runtime import bounds, contest, fallback, lowering, passes, samples
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.codegen.target import target as find_target
from gossamer.runtime.generated import Generated
from gossamer.runtime.graph import Graph, Node
from gossamer.runtime.memory import give_back
from gossamer.runtime.onnx_file import InvalidOnnx
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.ort import Spinning
from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.group_pointwise import group_pointwise
from gossamer.runtime.passes.partition import partition
from gossamer.runtime.passes.place_images import place_images
from gossamer.runtime.ports import Ports
from gossamer.runtime.program import Program
from gossamer.runtime.session import Session
from gossamer.runtime.steps import Constants, Step
from gossamer.runtime.threads import Team
from gossamer.runtime.whole import Source, WholeModel

Engine: TypeAlias = Literal["auto", "gossamer", "onnxruntime"]
"""What runs a model: `gossamer` is generated code wherever there is a kernel, `onnxruntime` is
ONNX Runtime alone, `auto` is the faster of the two."""

# Bytes of constants from which on it is worth a tenth of a second to return what compiling leaves.
_LARGE = 16 << 20


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
        return session_of(source, threads=threads, target=target, engine=engine)
    except MemoryError:
        raise ModelError("there is not enough memory to compile the model; free some") from None


def session_of(
    source: Source, *, threads: int | None = None, target: str = "host", engine: Engine = "auto"
) -> Session:
    """Compile a model, wherever it comes from; see `compile`.

    By default what is left to ONNX Runtime whole uses as many threads as that would by itself,
    within a container's quota.
    """
    wanted = _Wanted.of(source, threads, target, engine)
    reason = source.wishes.reason
    if engine == "onnxruntime":
        reason = reason or "the engine asked for"
    runs = wanted.left(reason) if reason else _runs(wanted)
    if isinstance(runs, Generated) and wanted.may_leave:
        source.remember()
    return Session(source, runs, wanted.left, wanted.threads, may_leave=wanted.may_leave)


@dataclass(frozen=True)
class _Wanted:
    """What is asked for, checked."""

    source: Source
    threads: int
    """How many an inference uses at most."""
    theirs: int | None
    """How many ONNX Runtime uses for the whole model; None for as many as it would by itself."""
    target: Target
    may_leave: bool
    """Whether feeds that generated code does not take, or all of them, may be ONNX Runtime's."""

    @classmethod
    def of(cls, source: Source, threads: int | None, target: str, engine: Engine) -> _Wanted:
        if not isinstance(engine, str) or engine not in get_args(Engine):
            raise OptionError(f"no engine {engine!r}; choose from {', '.join(get_args(Engine))}")
        asked = None if threads is None else arguments.whole("threads", threads, 1)
        most = min(asked or machine.default_threads(), machine.usable_processors())
        if not isinstance(target, str):
            raise OptionError(f"a target is a name, not {target!r}; 'host' is this processor")
        found = find_target(target)
        if not found.runs_here:
            raise OptionError(f"target {target!r} is for another processor; use 'host' here")
        # By itself it takes a thread for each core, however little of them a container may use.
        its_own = asked is None and not machine.has_quota()
        may_leave = engine == "auto" and contest.is_possible()
        return cls(source, most, None if its_own else most, found, may_leave)

    def left(self, reason: str, spinning: Spinning = "default") -> WholeModel:
        """The model in ONNX Runtime, as the user's own session would have it."""
        return WholeModel(self.source, reason, self.theirs, spinning)


def _runs(wanted: _Wanted) -> Generated | WholeModel:
    """Generated code, or ONNX Runtime where that is faster or generating fails.

    Raises:
        ModelError: if neither can be.
    """
    try:
        found = _contended(wanted)
        return found if isinstance(found, Generated) else wanted.left(found)
    except (UnsafeModelError, MemoryError):
        raise
    except Exception as error:
        if not wanted.may_leave:
            raise _refusal(error) from error
        refusal, is_ours = _refusal(error), isinstance(error, GossamerError)
        # They hold the weights.
        traceback.clear_frames(error.__traceback__)
    try:
        whole = wanted.left(first_line(refusal))
    except ModelError as theirs:
        if is_ours:
            raise refusal from theirs
        raise
    if isinstance(refusal, InvalidOnnx):
        warnings.warn(f"{refusal}; ONNX Runtime runs it all the same", stacklevel=4)
    return whole


def _contended(wanted: _Wanted) -> Generated | str:
    """Generated code; or why not, if ONNX Runtime is known or found to be faster."""
    source, may_leave = wanted.source, wanted.may_leave
    reason = contest.forfeit_unread(source.operators) if may_leave else ""
    if reason:
        return reason
    _check_kinds(source.ports)
    parts = source.read()
    graph = import_model(parts.model, parts.weights)
    # From here on the graph alone holds the weights, and lets go of each once it is packed.
    del parts
    bounds.check(graph)
    names = [value.name for value in graph.outputs]
    is_large = graph.constant_bytes() > _LARGE
    passes.optimize(graph)
    partition(graph)
    is_sure = not may_leave or contest.surely_won(graph)
    found: Generated | str = "" if is_sure else contest.forfeit(graph)
    if found:
        graph.clear()
    else:
        defaults = [port.name for port in source.ports.defaults]
        found = Generated(_program(graph, wanted), names, defaults)
        if not is_sure:
            found = _winner(found, wanted)
    del graph
    if is_large:
        give_back()
    return found


def _winner(generated: Generated, wanted: _Wanted) -> Generated | str:
    """Generated code, or why ONNX Runtime is to run the model, after both ran in turn."""
    try:
        reason = contest.lost(generated.program, generated.run, wanted.left)
    except BaseException:
        generated.close()
        raise
    if not reason:
        return generated
    generated.close()
    return reason


def _program(graph: Graph, wanted: _Wanted) -> Program:
    """Generated code for what is native, and ONNX Runtime for the rest."""
    team = Team(wanted.threads, wanted.target)
    batch = samples.batch_symbol(graph)
    place_images(graph)
    assign_layouts(graph)
    group_pointwise(graph)
    # Once more: layouts add what kernels need around the elements.
    bounds.check(graph)
    constants = Constants()
    return Program(graph, _lowered(graph, constants, wanted), constants, team, batch)


def _lowered(graph: Graph, constants: Constants, wanted: _Wanted) -> list[Step]:
    steps: list[Step] = []
    types: fallback.Types = {}
    runs = fallback.schedule(graph)
    last = {value: node for run in runs for node in run for value in node.inputs}
    for position, run in enumerate(runs):
        if run[0].native:
            for node in run:
                _make_contiguous(node)
                for step in lowering.lower(node, wanted.target):
                    constants.place(step)
                    steps.append(step)
                graph.forget_constants(node, last)
            continue
        later = {v for other in runs[position + 1 :] for node in other for v in node.inputs}
        needed = later | set(graph.outputs)
        outputs = [v for node in run for v in node.outputs if v in needed]
        region = fallback.FallbackRegion(run, outputs, graph.opsets, wanted.threads, types)
        steps.append(region)
        for node in run:
            graph.forget_constants(node, last)
    return steps


def _make_contiguous(node: Node) -> None:
    """Arrange a node's constants as kernels take them: until here they may be transposed views."""
    for value in node.inputs:
        if value is not None and value.data is not None:
            value.data = np.asarray(value.data, order="C")


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
