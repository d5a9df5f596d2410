"""Writing a model in another form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import OptionError, shown
from gossamer.extras import needed_for
from gossamer.files import as_path, temporary_folder
from gossamer.formats.result_file import write_result
from gossamer.models.places import SPARSE_FILE
from gossamer.models.pretrained import copy_configuration
from gossamer.models.writing import FORMS, Form, Subject, Written, filled

if TYPE_CHECKING:
    from gossamer.models.adapter import AxisNames


@needed_for("exporting this model")
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
