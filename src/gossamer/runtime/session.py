"""What the user holds: a compiled model with the call of `onnxruntime.InferenceSession`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import ArrayLike

from gossamer.errors import DataError, ModelError, OptionError
from gossamer.runtime import fallback, lowering, passes
from gossamer.runtime.codegen.target import target as find_target
from gossamer.runtime.dims import Dim
from gossamer.runtime.graph import Array, Graph, Value
from gossamer.runtime.memory import ConstantMemory, give_back
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.passes.assign_layouts import assign_layouts
from gossamer.runtime.passes.group_pointwise import group_pointwise
from gossamer.runtime.passes.partition import HEAVY, partition
from gossamer.runtime.passes.place_images import place_images
from gossamer.runtime.passes.plain_operands import plain_operands
from gossamer.runtime.program import Alias, Call, Program, Step
from gossamer.runtime.threads import Team

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
    """What the kernel takes by itself, where inputs to time it on were given."""


def compile(
    model: str | Path | bytes | onnx.ModelProto,
    *,
    threads: int | None = None,
    target: str = "host",
) -> Session:
    """Compile an ONNX model for this machine.

    Args:
        model: a file, its bytes, or the loaded model. External data must lie in the file's folder.
        threads: how many threads an inference uses; by default all cores of this process.
        target: `host`, or `avx2` to leave AVX-512 unused.

    Returns:
        A session for any batch size and sequence length that the model leaves open.

    Raises:
        ModelError: if the model is broken, or needs ONNX Runtime where that is not installed.
        OptionError: if there is no such target, or `threads` is not positive.
    """
    # The model itself is let go of as soon as it is imported: it is as large as the result.
    graph = import_model(load_model(model))
    is_large = graph.constant_bytes() > _LARGE
    session = Session(graph, threads=threads, target=target)
    if is_large:
        give_back()
    return session


def load_model(model: str | Path | bytes | onnx.ModelProto) -> onnx.ModelProto:
    """Read and check a model.

    Raises:
        ModelError: if there is no such file, or it is not a valid ONNX model.
    """
    named = str(model) if isinstance(model, (str, Path)) else "the model"
    if isinstance(model, (str, Path)) and not Path(model).is_file():
        raise ModelError(f"there is no file {named}; check the path")
    try:
        # Checked as given: the checker would otherwise write the whole model out once more.
        onnx.checker.check_model(str(model) if isinstance(model, Path) else model)
        if isinstance(model, (str, Path)):
            loaded = onnx.load(model)
        else:
            loaded = onnx.load_from_string(model) if isinstance(model, bytes) else model
    except Exception as error:
        raise ModelError(
            f"{named} is not valid ONNX ({_first_line(error)}); export it anew"
        ) from None
    if loaded.functions:
        loaded = onnx.inliner.inline_local_functions(loaded)
    return loaded


class Session:
    """A compiled model. Several threads may call `run` at once; they take turns.

    Args:
        graph: an imported model.
        threads: how many threads an inference uses; by default all cores of this process.
        target: the processor to generate code for.
    """

    def __init__(self, graph: Graph, *, threads: int | None = None, target: str = "host") -> None:
        if threads is not None and threads < 1:
            raise OptionError(f"threads must be at least 1, not {threads}")
        self.threads = threads or _cores()
        self._target = find_target(target)
        # Kept: passes rename what stands behind an output, never what the user calls it.
        self._names = [value.name for value in graph.outputs]
        untouched = graph.copy()
        passes.optimize(graph)
        partition(graph)
        if not any(node.native and node.op in HEAVY for node in graph.nodes) and _has_onnxruntime():
            # As it was: what passes make of it is for generated code.
            graph = untouched
            for node in graph.nodes:
                node.reason = "nothing in the model gains from sparsity"
        # It holds the weights as they were, which would stay beside what is made of them.
        del untouched
        self._graph = graph
        place_images(self._graph)
        assign_layouts(self._graph)
        plain_operands(self._graph)
        group_pointwise(self._graph)
        self._constants = ConstantMemory()
        self._team = Team(self.threads, self._target)
        self._program = Program(self._graph, self._lower(), self._constants, self._team)
        self._graph.forget_constants()

    def _lower(self) -> list[Step]:
        steps: list[Step] = []
        placed: dict[Value, int] = {}
        runs = fallback.schedule(self._graph)
        for position, run in enumerate(runs):
            if run[0].native:
                for node in run:
                    step = lowering.lower(node, self._target)
                    if isinstance(step, Call):
                        step.place_constants(self._constants, placed)
                    steps.append(step)
                continue
            later = {v for other in runs[position + 1 :] for node in other for v in node.inputs}
            needed = later | set(self._graph.outputs)
            outputs = [v for node in run for v in node.outputs if v in needed]
            steps.append(fallback.FallbackRegion(run, outputs, self._graph.opsets, self.threads))
        return steps

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
        known = {value.name: value for value in self._graph.inputs}
        for name in feeds:
            if name not in known:
                raise DataError(f"no input {name!r}; the inputs are {', '.join(known)}")
        arrays: dict[Value, Array] = {}
        sizes: dict[str, int] = {}
        for name, value in known.items():
            if name not in feeds:
                raise DataError(f"input {name!r} is missing; give an array of shape {value.shape}")
            array = np.asarray(feeds[name])
            if value.dtype is not None and array.dtype != value.dtype:
                raise DataError(
                    f"input {name!r} must be {value.dtype}, not {array.dtype}; "
                    f"convert it with .astype('{value.dtype}')"
                )
            if value.shape is not None:
                _match(name, value, array, sizes)
            arrays[value] = np.asarray(array, order="C")
        for size, limit in self._graph.limits:
            if isinstance(size, Dim) and size.evaluate(sizes) > limit:
                raise DataError(
                    f"{size} is {size.evaluate(sizes)}; the model takes at most {limit}"
                )
        return arrays, sizes

    def explain(self, feeds: Mapping[str, ArrayLike] | None = None) -> list[Explanation]:
        """How each node runs: its kernel, or why it is left to ONNX Runtime.

        Args:
            feeds: inputs to time each kernel on; without them no times are given.
        """
        seconds: dict[Call, float] = {}
        if feeds is not None:
            arrays, sizes = self._check(feeds)
            seconds = self._program.time_calls(sizes, arrays)
        lines = []
        for step in self._program.steps:
            if isinstance(step, Call):
                taken = seconds.get(step)
                lines.append(Explanation(step.name, step.op, step.kernel, "", step.sparsity, taken))
            elif isinstance(step, Alias):
                node = step.output.producer
                lines.append(
                    Explanation(node.name if node else "", node.op if node else "", "view")
                )
            else:
                lines += [
                    Explanation(node.name, node.op, "ONNX Runtime", node.reason)
                    for node in step.nodes
                ]
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


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _has_onnxruntime() -> bool:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def _match(name: str, value: Value, array: Array, sizes: dict[str, int]) -> None:
    """Check an array's shape against the input's, and learn what its symbols stand for."""
    assert value.shape is not None
    wanted = f"input {name!r} must have the shape {_text(value)}, not {list(array.shape)}"
    if array.ndim != len(value.shape):
        raise DataError(f"{wanted}; add or remove axes")
    for size, number in zip(value.shape, array.shape, strict=True):
        if isinstance(size, Dim):
            (symbol,) = size.symbols
            if number < 1:
                raise DataError(f"{wanted}; give at least one along each axis")
            if sizes.setdefault(symbol, number) != number:
                raise DataError(f"{wanted}, as {symbol} is {sizes[symbol]} elsewhere")
        elif size != number:
            raise DataError(f"{wanted}; pad or reshape it")


def _text(value: Value) -> str:
    return "[" + ", ".join(str(size) for size in value.shape or ()) + "]"


def _port(value: Value, name: str) -> Port:
    shape: list[int | str | None] = [
        str(size) if isinstance(size, Dim) else size for size in value.shape or ()
    ]
    return Port(name, shape, f"tensor({_TYPE_NAMES.get(str(value.dtype), str(value.dtype))})")


_TYPE_NAMES = {"float32": "float", "float64": "double"}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0][:200]
