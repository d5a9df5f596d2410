"""`gossamer.InferenceSession`: a compiled model with every call of ONNX Runtime's session."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from gossamer.errors import DataError, ModelError, UnsafeModelError, first_line
from gossamer.formats import load
from gossamer.integrations.onnxruntime import options as asked
from gossamer.integrations.onnxruntime.exceptions import as_onnxruntime_raises, both
from gossamer.integrations.onnxruntime.io_binding import IOBinding, arrays
from gossamer.integrations.onnxruntime.ort_value import OrtValue
from gossamer.models.source import sparse_file
from gossamer.onnx_runtime import session_class
from gossamer.runtime import Explanation, contest
from gossamer.runtime.compiler import session_of
from gossamer.runtime.ort import Wishes
from gossamer.runtime.ports import Sizes
from gossamer.runtime.whole import OrtFile, Source

if TYPE_CHECKING:
    _Theirs = object
else:
    try:
        # Those who look for a session of ONNX Runtime find one.
        _Theirs = session_class()
    except ImportError:
        _Theirs = object

# What methods that are ONNX Runtime's own, and packages, take of its session.
_OF_THEIRS = {
    "_sess",
    "_inputs_meta",
    "_outputs_meta",
    "_overridable_initializers",
    "_input_meminfos",
    "_output_meminfos",
    "_input_epdevices",
    "_model_meta",
    "_captured_graph_bindings",
    "_from_model_package",
    "_sess_options",
    "_sess_options_initial",
    "_provider_options",
    "_profiling_start_time_ns",
    "_enable_fallback",
    "_fallback_providers",
    "_read_config_from_model",
}


class InferenceSession(_Theirs):
    """A model as `onnxruntime.InferenceSession` opens it, run by generated code where that gains.

        onnxruntime.InferenceSession = gossamer.InferenceSession

    lets a program or a package that uses ONNX Runtime run with Gossamer unchanged. What ONNX
    Runtime would run faster, what generated code does not take, and what only ONNX Runtime can do
    for a model is left to it; `explain` says so.

    Args:
        path_or_bytes: the path of an ONNX file, its bytes, or the path of a sparse Gossamer file
            that carries its graph, or of a folder with one.
        sess_options: an `onnxruntime.SessionOptions`. Threads and fixed sizes hold for generated
            code too; profiles and optimized models are ONNX Runtime's, which then runs the model;
            all else is for what is left to it.
        providers: in order of preference, names or pairs of a name and its options. Generated code
            is for the CPU; with another provider that is to be had the model is ONNX Runtime's.
            Of one that is not to be had, ONNX Runtime warns.
        provider_options: a dictionary for each provider.
        **kwargs: ONNX Runtime's further arguments, such as `disabled_optimizers`.

    Raises:
        TypeError: if the model or the options are of another type.
        ModelError: if the model cannot be read or compiled; where onnxruntime is installed, also
            its `NoSuchFile`, `InvalidProtobuf`, or whatever it says of the model.
    """

    def __init__(
        self,
        path_or_bytes: Any,
        sess_options: Any = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._model = asked.as_model(path_or_bytes)
        # Packages look for the file by this name, as they do in ONNX Runtime's.
        self._model_path = self._model if isinstance(self._model, str) else None
        self._options, self._others = sess_options, kwargs
        self._compile(providers, provider_options)

    def _compile(self, providers: Any, provider_options: Any) -> None:
        wishes = asked.wishes(self._options, providers, provider_options, self._others)
        try:
            if asked.is_ort_format(self._model, self._options):
                self._source: Source = OrtFile(self._model, wishes)
            else:
                self._source = self._read(wishes)
            self._compiled = session_of(self._source, threads=asked.threads(self._options))
        except ModelError as error:
            kind = "InvalidProtobuf"
            if isinstance(error, UnsafeModelError):
                kind = "Fail"
            elif isinstance(self._model, str) and not Path(self._model).is_file():
                kind = "NoSuchFile"
            raise both(error, kind).with_traceback(error.__traceback__) from error.__cause__
        self._providers = list(wishes.arguments.get("providers") or ())

    def _read(self, wishes: Wishes) -> Source:
        """The model, with the sizes that the options fix."""
        model: str | bytes | onnx.ModelProto = self._model
        weights: Iterable[tuple[str, Any]] = ()
        # Whatever else it is called, it is an ONNX file.
        stored = sparse_file(model) if _may_be_sparse(self._model) else None
        if stored is not None:
            model, weights = load(stored).onnx_parts()
        sizes: Sizes = {}
        if not wishes.reason:
            try:
                sizes = asked.sizes(model, self._options)
            except ValueError as error:
                wishes = replace(wishes, reason=first_line(error))
        return Source(model, weights, wishes, sizes)

    @property
    def engine(self) -> str:
        """`onnxruntime` where the whole model is left to it, else `gossamer`."""
        return self._compiled.engine

    def explain(self, feeds: Mapping[str, Any] | None = None) -> list[Explanation]:
        """How each node runs, and why what ONNX Runtime runs is left to it; see `Session.explain`.

        Args:
            feeds: inputs to time each kernel on; without them no times are given.
        """
        return self._compiled.explain(feeds)

    def get_inputs(self) -> Sequence[Any]:
        """The inputs: `name`, `shape` (a word or None for a size that is open) and `type`."""
        return self._compiled.get_inputs()

    def get_outputs(self) -> Sequence[Any]:
        """The outputs, described likewise."""
        return self._compiled.get_outputs()

    def get_overridable_initializers(self) -> Sequence[Any]:
        """Inputs that need not be fed, since the model holds what they are by default."""
        return self._compiled.get_overridable_initializers()

    def get_modelmeta(self) -> Any:
        """What the model says of itself, with the fields of `onnxruntime.ModelMetadata`."""
        if self._compiled.is_left:
            return self._opened.get_modelmeta()
        return self._source.metadata

    def get_providers(self) -> list[str]:
        """The names of the providers that may run the model."""
        if self._compiled.is_left:
            return list(self._opened.get_providers())
        return [*self._providers, *({asked.CPU} - set(self._providers))]

    def get_provider_options(self) -> dict[str, Any]:
        """Their options."""
        if self._compiled.is_left:
            return dict(self._opened.get_provider_options())
        return {name: {} for name in self.get_providers()}

    def get_session_options(self) -> Any:
        """The options that were given, or ONNX Runtime's own; None where it is not installed."""
        if self._compiled.is_left:
            return self._opened.get_session_options()
        if self._options is None and contest.is_possible():
            from onnxruntime import SessionOptions

            self._options = SessionOptions()
        return self._options

    def set_providers(
        self,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
    ) -> None:
        """Compile the model anew for other providers; see the class."""
        self._compile(providers, provider_options)

    @as_onnxruntime_raises
    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: Any = None,
    ) -> list[Any]:
        """Run the model.

        Args:
            output_names: the outputs wanted, all if None.
            input_feed: an array or OrtValue for each input by name.
            run_options: an `onnxruntime.RunOptions`; see `Session.run`.

        Returns:
            An array for each output, the caller's own.

        Raises:
            DataError: if an input is missing, unknown, or of another type or shape; where
                onnxruntime is installed it is an `InvalidArgument` and a ValueError too.
            OptionError: if there is no output of a name; likewise.
            ModelError: if the model cannot be run on them.
        """
        return self._compiled.run(output_names, arrays(input_feed), run_options)

    @as_onnxruntime_raises
    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: Any = None,
    ) -> list[OrtValue]:
        """Run the model on OrtValues, and return such; see `run`."""
        if self._is_theirs:
            found = self._opened.run_with_ort_values(
                output_names, input_dict_ort_values, run_options
            )
            return list(found)
        results = self.run(output_names, input_dict_ort_values, run_options)
        return [OrtValue.ortvalue_from_numpy(result) for result in results]

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[Sequence[Any], Any, str], None],
        user_data: Any,
        run_options: Any = None,
    ) -> None:
        """Run the model in a thread of its own, one run after the other.

        Args:
            output_names: the outputs wanted, all if None.
            input_feed: see `run`.
            callback: called in that thread with the results, `user_data` and an empty text, or with
                an empty list, `user_data` and what went wrong.
            user_data: for the callback.
            run_options: see `run`.
        """

        def run() -> None:
            try:
                results, wrong = self.run(output_names, input_feed, run_options), ""
            except Exception as error:
                results, wrong = [], str(error)
            callback(results, user_data, wrong)

        self._apart.submit(run)

    def io_binding(self) -> Any:
        """An `IOBinding`, for inputs and outputs that stay where they are."""
        return self._opened.io_binding() if self._is_theirs else IOBinding(self)

    @as_onnxruntime_raises
    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        """Run the model on what is bound.

        Raises:
            DataError: if the binding is another session's, or what is bound does not fit.
        """
        if not isinstance(iobinding, IOBinding):
            self._opened.run_with_iobinding(iobinding, run_options)
            return
        if iobinding.session is not self:
            raise DataError("the binding is another session's; take this one's io_binding()")
        iobinding.run(run_options)

    def end_profiling(self) -> str:
        """Write the profile that the session options asked for; return its file, or nothing."""
        return str(self._opened.end_profiling()) if self._compiled.is_left else ""

    @property
    def _is_theirs(self) -> bool:
        """Whether ONNX Runtime runs the whole model, on whatever it is fed."""
        return self._compiled.is_left and not self._source.fed

    @property
    def _opened(self) -> Any:
        """The model in a session of ONNX Runtime itself."""
        return self._compiled.in_onnxruntime()

    @functools.cached_property
    def _apart(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="gossamer-run-async")

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THEIRS:
            return getattr(self._opened, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _may_be_sparse(model: str | bytes) -> bool:
    """Whether it is the path of a sparse Gossamer file, or of a folder that may hold one."""
    return isinstance(model, str) and (Path(model).suffix == ".safetensors" or Path(model).is_dir())
