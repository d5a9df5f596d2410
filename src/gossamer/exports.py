"""Writing a model: in another form, or as a sparse file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from gossamer import formats
from gossamer.errors import GossamerError, OptionError, first_line, shown
from gossamer.files import as_path, temporary_folder
from gossamer.formats.result_file import write_result
from gossamer.models.made import Made
from gossamer.models.places import SPARSE_FILE
from gossamer.models.pretrained import copy_configuration
from gossamer.models.writing import FORMS, Form, Subject, Written, filled, write_sparse

if TYPE_CHECKING:
    from gossamer.formats.sparse_file import Values
    from gossamer.models.adapter import AxisNames


def export(
    model: Any,
    out: str | Path,
    *,
    to: str,
    example_inputs: Any = None,
    dynamic_axes: AxisNames | None = None,
) -> Written:
    """Write a model in another form.

    Args:
        model: what `gossamer.compile` takes.
        out: a file with the form's suffix (`.onnx`, `.safetensors`), which is replaced; or a folder
            that does not exist or is empty, into which a Hugging Face model's tokenizer and
            configuration go too.
        to: "onnx": for any runtime. "sparse": the sparse Gossamer file with its graph, which
            `gossamer.compile` runs without torch. "hf": a directory that `from_pretrained` loads,
            of a transformers module only; what it cannot hold is among the notes.
        example_inputs: to trace a module with, as `gossamer.compile` takes them.
        dynamic_axes: likewise.

    Returns:
        What was written.

    Raises:
        OptionError: if there is no such form, or `out` is a file of another.
        ModelError: if the model cannot be read or exported, or has no such form.
        DataError: if the model must be traced and the example is missing or does not fit.
        OutputError: if `out` exists and is no empty folder, or cannot be written.
    """
    form, path = _form(to), as_path(out)
    subject = Subject(model, example_inputs, dynamic_axes, trainable=form.trainable)
    if _is_file(path, to):
        # Known before the work whose result it is to hold.
        with temporary_folder(path.absolute()):
            pass
        return Written(path, (path.name,), tuple(form.write(subject, path)))

    def fill(inside: Path) -> list[str]:
        if form.file is None:
            return form.write(subject, inside)
        notes = form.write(subject, inside / form.file)
        if subject.source is not None:
            copy_configuration(subject.source, inside)
        if form.file == SPARSE_FILE and (told := subject.told()) is not None:
            write_result(told, inside / SPARSE_FILE)
        return notes

    return filled(path, fill)


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


def _form(name: str) -> Form:
    if not isinstance(name, str) or name not in FORMS:
        raise OptionError(f"unknown form {shown(name)}; choose one of: {', '.join(FORMS)}")
    return FORMS[name]


def _is_file(path: Path, to: str) -> bool:
    """Return whether a path names a file of a form, and not a folder for it."""
    forms = {Path(form.file).suffix: name for name, form in FORMS.items() if form.file}
    found = forms.get(path.suffix)
    if found not in (None, to):
        raise OptionError(f"{path} ends as a file of the form {found!r}, and {to!r} is asked for")
    return found is not None
