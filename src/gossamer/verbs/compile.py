"""Compiling a model to native code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gossamer import formats
from gossamer.extras import needed_for
from gossamer.models.source import as_onnx, onnx_file, refuse_axes, sparse_file

if TYPE_CHECKING:
    from gossamer.models.adapter import AxisNames
    from gossamer.runtime import Session


@needed_for("compiling this model")
def compile(
    model: Any,
    example_inputs: Any = None,
    *,
    dynamic_axes: AxisNames | None = None,
    threads: int | None = None,
) -> Session:
    """Compile a model to native code for this processor.

    Args:
        model: an nn.Module; an onnx.ModelProto or its bytes; what `sparsify` or `recover` returned;
            or as text or path an .onnx file, a sparse Gossamer file that carries its graph, a
            folder that Gossamer wrote, a Hugging Face directory, a .pt2 file of torch.export.save,
            or FILE.py:FUNCTION that returns an nn.Module.
        example_inputs: for a model that is not ONNX yet: inputs to trace it with, as arrays or
            tensors by name, one array or a tuple in the order of the arguments. A transformers text
            model needs none, nor does a result that saw data.
        dynamic_axes: for such a model: the axes that may have any size, and no others, such as
            {"x": {0: "batch", 1: "time"}}; axes of one name have one size. By default the first
            axis of every input and the second of token inputs, where the model runs with other
            sizes there.
        threads: to run with; by default every core that the process may use.

    Returns:
        A session: `run(None, {name: array})` as in onnxruntime.InferenceSession.

    Raises:
        OptionError: if `dynamic_axes` names an axis that cannot be open, or the model is ONNX.
        ModelError: if the model cannot be read, exported or compiled.
        DataError: if the model must be traced and the example is missing or does not fit.
    """
    from gossamer import runtime

    stored = sparse_file(model)
    if stored is not None:
        refuse_axes(dynamic_axes)
        graph, weights = formats.load(stored).onnx_parts()
        return runtime.compile(graph, weights=weights, threads=threads)
    file = onnx_file(model)
    if file is not None:
        refuse_axes(dynamic_axes)
        # Read by the runtime itself, which holds no weight twice.
        return runtime.compile(file, threads=threads)
    return runtime.compile(as_onnx(model, example_inputs, dynamic_axes), threads=threads)
