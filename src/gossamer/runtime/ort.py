"""Sessions of ONNX Runtime: the one place where models are handed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gossamer.errors import ModelError, first_line
from gossamer.graphs.operation import Array
from gossamer.onnx_runtime import session_class
from gossamer.runtime import hazards
from gossamer.runtime.guards import refusal

Spinning: TypeAlias = Literal["default", "within runs", "never"]
"""When threads of ONNX Runtime that have nothing to do spin rather than sleep. By default they do
for a tenth of a second beyond each run, where they take cores from whoever runs next."""

# Bytes from which on a weight goes to ONNX Runtime where it lies, not within the message.
_LARGE = 4096
_SPINNING = {
    "default": (),
    "within runs": (("session.force_spinning_stop", "1"),),
    "never": (("session.intra_op.allow_spinning", "0"),),
}


@dataclass(frozen=True)
class Wishes:
    """How somebody wants ONNX Runtime to open what is left to it."""

    options: Any = None
    """An `onnxruntime.SessionOptions`, which stays as it is; by default one of ours."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """For `onnxruntime.InferenceSession`, by name; by default it gets the CPU as the provider."""
    reason: str = ""
    """Why no other engine can do as they say; empty if one can."""


def open_session(
    source: str | bytes | onnx.ModelProto,
    outline: onnx.ModelProto,
    *,
    weights: Mapping[str, Array] | None = None,
    threads: int | None = None,
    spinning: Spinning = "default",
    once: bool = False,
    why: str = "",
    wishes: Wishes | None = None,
) -> Any:
    """An `onnxruntime.InferenceSession`.

    Args:
        source: the path of a file, its bytes, or a message whose `weights` are given apart and that
            may be mended.
        outline: the same model, read; its large weights may be missing.
        weights: elements of initializers, which the session takes where they lie.
        threads: how many; by default as many as ONNX Runtime itself would take.
        spinning: of its threads.
        once: whether it runs too seldom to be optimized and to keep memory between runs.
        why: why the model needs ONNX Runtime, for the error where that is not installed.
        wishes: those of whoever opens it. Options come before `threads`, `spinning` and `once`, and
            exclude `weights`.

    Raises:
        ModelError: if ONNX Runtime is not installed, or refuses the model.
        UnsafeModelError: if it would end the process.
    """
    hazards.check(outline)
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"{why}; install gossamer[ort]") from None
    wishes = wishes or Wishes()
    options = wishes.options
    if options is None:
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        for key, value in _SPINNING[spinning]:
            options.add_session_config_entry(key, value)
        if once:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.enable_cpu_mem_arena = False
        # What goes wrong comes as an exception.
        options.log_severity_level = 4
    try:
        if weights:
            arrays = [np.asarray(array, order="C") for array in weights.values()]
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
            options.add_external_initializers(list(weights), values)
        if isinstance(source, onnx.ModelProto):
            hazards.mend(source)
            source = source.SerializeToString()
        arguments = {"providers": ["CPUExecutionProvider"], **wishes.arguments}
        return session_class()(source, options, **arguments)
    except Exception as error:
        raise failed("refuses the model", error) from error


def failed(what: str, error: Exception) -> ModelError:
    """What to raise where ONNX Runtime raised.

    Args:
        what: what it did, as in "refuses the model".
        error: what it raised.
    """
    reason = refusal(str(error))
    return ModelError(reason or f"ONNX Runtime {what}: {first_line(error)}")


def add_weights(
    model: onnx.ModelProto, weights: Mapping[str, Array], *, whole: bool = False
) -> dict[str, Array]:
    """Add initializers to a message: small ones whole, of the others that they are given apart.

    Args:
        model: the message.
        weights: their elements by name.
        whole: whether large ones are to be in the message too.

    Returns:
        Those that `open_session` is to take where they lie.
    """
    apart = {}
    for name, array in weights.items():
        if whole or array.nbytes < _LARGE or array.dtype.kind not in "fiub":
            model.graph.initializer.append(numpy_helper.from_array(array, name))
            continue
        tensor = model.graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        # The elements come from memory; no file is looked for.
        tensor.external_data.add(key="location", value="memory")
        apart[name] = array
    return apart
