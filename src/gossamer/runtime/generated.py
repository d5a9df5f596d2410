"""A model in generated code, fed by name: what it takes is checked before the program sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gossamer.errors import DataError
from gossamer.graphs.dims import worded
from gossamer.graphs.operation import Array
from gossamer.runtime.explanation import Explanation, explain_step
from gossamer.runtime.fallback import FallbackRegion
from gossamer.runtime.feeds import BeyondProgram, as_array, contiguous, differs, match, of_type
from gossamer.runtime.graph import Value
from gossamer.runtime.program import Program
from gossamer.runtime.steps import Step


class Generated:
    """A program and the names of what it takes and gives.

    Args:
        program: the compiled model.
        names: of its outputs; passes rename what stands behind one, never what the user calls it.
        defaults: inputs that need not be fed, which are constants in generated code.
    """

    def __init__(self, program: Program, names: Sequence[str], defaults: Collection[str]) -> None:
        self.program, self.names = program, list(names)
        self.inputs = {value.name: value for value in program.graph.inputs}
        self._defaults = defaults

    @property
    def engine(self) -> str:
        """`onnxruntime` if all of it is left to that, region by region."""
        kinds = {type(step) for step in self.program.steps}
        return "onnxruntime" if kinds == {FallbackRegion} else "gossamer"

    def run(self, feeds: Mapping[str, Any]) -> list[Array]:
        """The outputs, in order.

        Raises:
            DataError: if an input is missing, unknown, or of another type or shape than the model
                takes; or if an index in it points outside the table that it looks up.
            BeyondProgram: if it is only the program that does not take them.
            ModelError: if ONNX Runtime cannot run what is left to it.
        """
        arrays, sizes = self._check(feeds)
        return self.program.run(sizes, arrays)

    def explain(self, feeds: Mapping[str, Any] | None) -> list[Explanation]:
        """A line for each node, in the order in which they run; with times if there are feeds."""
        seconds: dict[Step, float] = {}
        if feeds is not None:
            arrays, sizes = self._check(feeds)
            seconds = self.program.time_steps(sizes, arrays)
        whole = sum(seconds.values())
        lines = []
        for step in self.program.steps:
            explained = explain_step(step)
            if step in seconds:
                taken = seconds[step]
                explained[0] = replace(explained[0], seconds=taken, share=taken / whole)
            lines += explained
        return lines

    def close(self) -> None:
        """End the threads; a later run starts them again."""
        self.program.team.close()

    def _check(self, feeds: Mapping[str, Any]) -> tuple[dict[Value, Array], dict[str, int]]:
        known = self.inputs
        beyond = None
        for name in feeds:
            if name in known:
                continue
            if name not in self._defaults:
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
        for limit in self.program.graph.limits:
            broken = worded(limit, sizes)
            if broken and beyond is None:
                beyond = BeyondProgram(broken)
        if beyond is not None:
            raise beyond
        return {value: contiguous(value.name, array) for value, array in arrays.items()}, sizes
