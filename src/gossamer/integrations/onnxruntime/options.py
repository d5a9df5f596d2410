"""What the arguments of `onnxruntime.InferenceSession` say to generated code, and what they leave
to ONNX Runtime alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from gossamer.errors import first_line
from gossamer.onnx_runtime import session_class
from gossamer.runtime.ort import Wishes
from gossamer.runtime.outline import outline
from gossamer.runtime.ports import Sizes

CPU = "CPUExecutionProvider"
# Where generated code runs. The second comes with every build, and runs models that are elsewhere.
_HERE = {CPU, "AzureExecutionProvider"}
# Bytes 4 to 8 of a model in the format of ONNX Runtime.
_ORT_FORMAT = b"ORTM"


def is_ort_format(model: str | bytes, options: Any) -> bool:
    """Whether a model is in the format of ONNX Runtime rather than ONNX."""
    stated = _entry(options, "session.load_model_format")
    if stated:
        return stated == "ORT"
    if isinstance(model, bytes):
        return model[4:8] == _ORT_FORMAT
    return Path(model).suffix == ".ort"


def threads(options: Any) -> int | None:
    """How many threads the options ask for; None if they do not."""
    number = getattr(options, "intra_op_num_threads", 0)
    return number if number > 0 else None


def wishes(
    options: Any,
    providers: Sequence[Any] | None,
    provider_options: Sequence[Mapping[Any, Any]] | None,
    others: Mapping[str, Any],
) -> Wishes:
    """How ONNX Runtime is to open what is left to it, and whether all is.

    Raises:
        TypeError: if the options are none of ONNX Runtime's.
    """
    arguments = dict(others)
    reason = _reason(options)
    if providers is not None:
        try:
            names, settings = _normal(providers, provider_options)
            arguments |= {"providers": names, "provider_options": settings}
            strange = [name for name in names if name not in _HERE]
            if strange:
                reason = reason or f"the provider asked for is {strange[0]}"
        except ValueError as error:
            # It prints what is wrong with them, and goes on with the CPU.
            arguments |= {"providers": providers, "provider_options": provider_options}
            reason = first_line(error)
    return Wishes(options, arguments, reason)


def _reason(options: Any) -> str:
    """Why only ONNX Runtime can do what the options say; empty if others can."""
    if options is None:
        return ""
    try:
        from onnxruntime import SessionOptions
    except ImportError:
        return ""
    if not isinstance(options, SessionOptions):
        raise TypeError(f"sess_options must be SessionOptions, not {type(options).__name__}")
    if options.enable_profiling:
        return "its profile is asked for (enable_profiling)"
    if options.optimized_model_filepath:
        return "the model as it optimizes it is asked for (optimized_model_filepath)"
    if _entry(options, "ep.context_enable") == "1":
        return "the model as it compiles it is asked for (ep.context_enable)"
    if getattr(options, "has_providers", bool)():
        return "the session options name providers"
    return ""


def _entry(options: Any, key: str) -> str:
    """A configuration entry, empty if there is none."""
    if options is None:
        return ""
    try:
        return str(options.get_session_config_entry(key))
    except (AttributeError, RuntimeError):
        return ""


def _normal(
    providers: Sequence[Any], provider_options: Sequence[Mapping[Any, Any]] | None
) -> tuple[list[str], list[dict[str, str]]]:
    """Names and options of the providers that are to be had; a warning for each that is not.

    Raises:
        ValueError: if they are malformed.
    """
    try:
        from onnxruntime import get_available_providers
        from onnxruntime.capi import onnxruntime_inference_collection as collection
    except ImportError:
        for provider in providers:
            name = provider if isinstance(provider, str) else provider[0]
            if name not in _HERE:
                warnings.warn(f"provider {name!r} is not to be had here", stacklevel=6)
        return [], []
    available = get_available_providers()
    found = collection.check_and_normalize_provider_args(providers, provider_options, available)
    pairs = [pair for pair in zip(*found, strict=True) if pair[0] in available]
    return [name for name, _ in pairs], [settings for _, settings in pairs]


def sizes(model: str | bytes | onnx.ModelProto, options: Any) -> Sizes:
    """The open sizes of inputs that the options fix, which only ONNX Runtime can read.

    It opens a model that has the inputs and does nothing with them.

    Raises:
        ValueError: if the options do not fit such a model.
    """
    if options is None:
        return {}
    given = [info for info in outline(model).graph.input if _open_axes(info)]
    if not given:
        return {}
    graph = helper.make_graph(
        [helper.make_node("Shape", [info.name], [f"{info.name} shape"]) for info in given],
        "sizes",
        given,
        [
            helper.make_tensor_value_info(f"{info.name} shape", onnx.TensorProto.INT64, None)
            for info in given
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    probe = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    try:
        found = session_class()(probe, options, providers=[CPU], enable_fallback=0).get_inputs()
    except Exception as error:
        raise ValueError(f"the session options ({first_line(error)})") from error
    fixed = {
        info.name: {axis: port.shape[axis] for axis in _open_axes(info)}
        for info, port in zip(given, found, strict=True)
    }
    numbers = {
        name: {axis: size for axis, size in axes.items() if isinstance(size, int)}
        for name, axes in fixed.items()
    }
    return {name: axes for name, axes in numbers.items() if axes}


def _open_axes(info: onnx.ValueInfoProto) -> list[int]:
    """The axes of an input whose sizes have a name or a meaning, by which options fix them."""
    if info.type.WhichOneof("value") != "tensor_type":
        return []
    sizes = info.type.tensor_type.shape.dim
    return [axis for axis, size in enumerate(sizes) if size.dim_param or size.denotation]


def as_model(path_or_bytes: Any) -> str | bytes:
    """What ONNX Runtime takes for a model, paths as text.

    Raises:
        TypeError: if it is anything else.
    """
    if isinstance(path_or_bytes, (str, os.PathLike)):
        return os.fspath(path_or_bytes)
    if isinstance(path_or_bytes, bytes):
        return path_or_bytes
    raise TypeError(f"Unable to load from type '{type(path_or_bytes)}'; give a path or bytes")
