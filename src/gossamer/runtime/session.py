"""What the user holds: a compiled model with the call of `onnxruntime.InferenceSession`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from gossamer.errors import GossamerError, ModelError, first_line
from gossamer.runtime import emptiness
from gossamer.runtime.explanation import Explanation, explain_whole
from gossamer.runtime.feeds import BeyondProgram, check_mapping, check_names
from gossamer.runtime.generated import Generated
from gossamer.runtime.ports import Port, merged
from gossamer.runtime.whole import Source, WholeModel
from gossamer.summary import Summary


class Session(Summary):
    """A compiled model. Several threads may call `run` at once; in generated code they take turns.

    Args:
        source: where the model comes from.
        runs: what runs it: generated code, or ONNX Runtime all of it.
        left: opens the model in ONNX Runtime, given a reason.
        threads: how many threads an inference uses at most.
        may_leave: whether what generated code does not take may be ONNX Runtime's.
    """

    def __init__(
        self,
        source: Source,
        runs: Generated | WholeModel,
        left: Callable[[str], WholeModel],
        threads: int,
        *,
        may_leave: bool,
    ) -> None:
        self.threads = threads
        self._source = source
        self._generated = runs if isinstance(runs, Generated) else None
        self._whole = runs if isinstance(runs, WholeModel) else None
        self._team = runs.program.team if isinstance(runs, Generated) else None
        self._left, self._may_leave = left, may_leave
        self._beyond: WholeModel | None = None

    @property
    def engine(self) -> str:
        """`onnxruntime` where the whole model is left to it, else `gossamer`."""
        return "onnxruntime" if self._generated is None else self._generated.engine

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
        if self._generated is None:
            assert self._whole is not None
            return self._whole.inputs
        known = self._generated.inputs
        return [port for port in self._source.ports.inputs if port.name in known]

    def get_outputs(self) -> list[Port]:
        """The outputs, described likewise."""
        if self._generated is None:
            assert self._whole is not None
            return self._whole.outputs
        made = self._generated.program.graph.outputs
        pairs = zip(self._source.ports.outputs, made, strict=True)
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
        if self._generated is None:
            assert self._whole is not None
            return self._whole.run(output_names, input_feed, run_options)
        names = self._generated.names
        wanted = check_names(output_names, names)
        try:
            if run_options is not None:
                self._check_options(run_options)
            found = self._generated.run(input_feed)
        except (BeyondProgram, ModelError) as error:
            if not self._may_leave:
                raise
            return self._run_beyond(error, wanted, input_feed, run_options)
        results = dict(zip(names, found, strict=True))
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
        if self._generated is None:
            assert self._whole is not None
            return explain_whole(self._whole, feeds)
        return self._generated.explain(feeds)

    def close(self) -> None:
        """End the session's threads; a later run starts them again."""
        if self._team is not None:
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
