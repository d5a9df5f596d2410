"""Writing a model as a sparse file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer import formats
from gossamer.errors import GossamerError, OptionError, first_line
from gossamer.extras import needed_for
from gossamer.files import as_path
from gossamer.models.made import Made
from gossamer.models.writing import Subject, write_sparse

if TYPE_CHECKING:
    import onnx

    from gossamer.formats.sparse_file import Values


@needed_for("saving this model")
def save(
    model: Any,
    path: str | Path,
    *,
    example_inputs: Any = None,
    values: Values = "fp32",
    graph: onnx.ModelProto | bytes | None = None,
) -> None:
    """Write a model as a sparse file, each tensor in the smaller of its two encodings.

    With its graph the file is all that a device needs: `gossamer.compile(path)` runs it without
    torch. Without, it holds weights alone: `gossamer.load(path).state_dict()`.

    Args:
        model: what `gossamer.compile` takes, or a mapping from names to arrays or torch tensors.
        path: where to write, by convention `*.gossamer.safetensors`. The file appears whole or not
            at all.
        example_inputs: to trace a module with, so that the file carries its graph: what
            `gossamer.compile` takes. A transformers text model needs none, nor does what `sparsify`
            or `recover` returned if they saw data; of any other module nothing but the weights is
            written without.
        values: "fp16" stores float32 and float64 elements in half precision; they are restored in
            their own type. "fp32" keeps every element as it is.
        graph: the ONNX export of a module, where you have one already.

    Raises:
        ModelError: if the model cannot be read or exported, holds something other than plain
            tensors, a value is beyond the range of fp16, or the graph is no ONNX model.
        DataError: if the example does not fit the model.
        OptionError: if `values` is unknown, or a graph or an example is given for what has none.
        OutputError: if `path` cannot be written.
    """
    if isinstance(model, Mapping):
        if example_inputs is not None:
            raise OptionError("a mapping of tensors cannot be traced; leave out example_inputs=")
        formats.save(model, path, values=values, graph=graph)
        return
    if graph is not None:
        given = model.model if isinstance(model, Made) else model
        formats.save(given, path, values=values, graph=graph)
        return
    subject = Subject(model, example_inputs)
    if subject.is_stated():
        write_sparse(subject, as_path(path), values)
        return
    # The weights are there in any case, whatever becomes of a graph that nobody asked for.
    found = None
    if subject.is_text():
        try:
            found = subject.graph
        except GossamerError as error:
            warnings.warn(
                f"{path} is written without a graph ({first_line(error)}): give example_inputs= "
                "for one",
                stacklevel=2,
            )
    formats.save(subject.module, path, values=values, graph=found)
