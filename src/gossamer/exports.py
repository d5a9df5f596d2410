"""The forms in which a model is written: each by itself, or all together for deployment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from gossamer import formats
from gossamer.deployment import check_folder, write_folder
from gossamer.errors import DataError, GossamerError, ModelError, OptionError, first_line
from gossamer.files import as_path, temporary_folder
from gossamer.formats import save_onnx
from gossamer.models.hugging_face import is_transformers_model
from gossamer.models.made import Made
from gossamer.models.opening import open_model
from gossamer.models.places import ONNX_FILE, SPARSE_FILE
from gossamer.models.pretrained import copy_configuration, source_of, write_pretrained
from gossamer.result_file import read_result, write_result
from gossamer.source import export as export_graph
from gossamer.source import refuse_axes, sparse_file, text_example

if TYPE_CHECKING:
    from gossamer.formats.sparse_file import Values
    from gossamer.models.adapter import AxisNames, ModelAdapter


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: the file or folder.
        files: names of the files in a folder, in order; the file's own name otherwise.
        notes: what the user should know, each one sentence or two.
    """

    path: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {**asdict(self), "path": str(self.path)}


class Subject:
    """A model that is to be written, whatever named it.

    Args:
        model: what `gossamer.compile` takes.
        example: inputs to trace a module with; see `gossamer.source.as_onnx`.
        dynamic_axes: likewise.
        trainable: takes a folder for the module that it holds, see `open_model`.
    """

    def __init__(
        self,
        model: Any,
        example: Any = None,
        dynamic_axes: AxisNames | None = None,
        *,
        trainable: bool = False,
    ) -> None:
        self._given = model
        self._example = model.example if example is None and isinstance(model, Made) else example
        self._axes = dynamic_axes
        self._trainable = trainable

    @cached_property
    def adapter(self) -> ModelAdapter:
        """The adapter of the model."""
        return open_model(self._given, trainable=self._trainable)

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The model as ONNX, traced where need be."""
        if self.adapter.kind == "onnx":
            refuse_axes(self._axes)
        return export_graph(self.adapter, self._example, self._axes)

    @property
    def module(self) -> Any:
        """The module, under the names that its parameters have; None for ONNX."""
        given = self._given.model if isinstance(self._given, Made) else self._given
        if isinstance(given, str | Path | bytes):
            return None if self.adapter.kind == "onnx" else self.adapter.model
        # What the adapter holds may be a copy, whose computed weights became parameters.
        return None if isinstance(given, onnx.ModelProto) else given

    @cached_property
    def source(self) -> Path | None:
        """The Hugging Face directory whose tokenizer and configuration belong to the model."""
        return source_of(self._given)

    def told(self) -> Mapping[str, Any] | None:
        """Return how the model came about, where that is known."""
        if isinstance(self._given, Made):
            return self._given.to_dict()
        stored = sparse_file(self._given)
        return None if stored is None else read_result(stored)

    def is_stated(self) -> bool:
        """Return whether the model is ONNX already, or it was said how to trace it."""
        return self._example is not None or self.module is None

    def is_text(self) -> bool:
        """Return whether the model is a transformers text model, traced without another word."""
        if not is_transformers_model(self.module):
            return False
        try:
            text_example(self.adapter)
        except DataError:
            return False
        return True


def _write_onnx(subject: Subject, path: Path) -> list[str]:
    save_onnx(subject.graph, path)
    return []


def _write_sparse(subject: Subject, path: Path, values: Values = "fp32") -> list[str]:
    if subject.module is None:
        formats.save(subject.graph, path, values=values)
    else:
        formats.save(subject.module, path, values=values, graph=subject.graph)
    return []


def _write_hf(subject: Subject, folder: Path) -> list[str]:
    if subject.adapter.kind == "onnx":
        raise ModelError(
            "the model is ONNX, which no Hugging Face directory holds; give the module that it was "
            "exported from, or write it as onnx or sparse"
        )
    return write_pretrained(subject.adapter.model, folder, subject.source)


@dataclass(frozen=True)
class Form:
    """A form in which models are written.

    Attributes:
        write: writes a subject to a path; returns notes.
        file: its name within a folder; None for a form that is a folder itself.
        trainable: whether it needs a module, where a folder holds one beside a graph.
    """

    write: Callable[[Subject, Path], list[str]]
    file: str | None
    trainable: bool = False


FORMS: dict[str, Form] = {
    "onnx": Form(_write_onnx, ONNX_FILE),
    "sparse": Form(_write_sparse, SPARSE_FILE),
    "hf": Form(_write_hf, None, trainable=True),
}
"""By the name that `export` takes."""


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

    return _filled(path, fill)


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
        _write_sparse(subject, as_path(path), values)
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


def save_folder(
    model: Any,
    folder: str | Path,
    told: Mapping[str, Any],
    *,
    example_inputs: Any = None,
) -> Written:
    """Write the folder of a sparse model, in every form that there is: see `write_forms`.

    Args:
        model: a result, or a module.
        folder: must not exist, or be empty.
        told: how the model came about, for `result.json`.
        example_inputs: to trace a module with.

    Raises:
        ModelError: if the model cannot be exported.
        DataError: if the model must be traced and the example is missing or does not fit.
        OutputError: if the folder exists and is not empty, or cannot be written.
    """
    subject = Subject(model, example_inputs)
    return _filled(as_path(folder), lambda inside: write_forms(subject, inside, told))


def write_forms(subject: Subject, folder: Path, told: Mapping[str, Any]) -> list[str]:
    """Write the sparse file with its graph, the ONNX file, and how the model came about.

    Of a transformers module come weights for `from_pretrained` besides, configuration and
    tokenizer; of a result of `sparsify` a model card, where huggingface_hub is installed.

    Args:
        subject: the model.
        folder: an existing folder, best a temporary one: see `write_folder`.
        told: for `result.json`; with `trials` it is `SparsifyResult.to_dict()`.

    Returns:
        What the forms do not hold.
    """
    from gossamer.report.model_card import CARD_FILE, has_cards, write_card

    graph, notes = subject.graph, list[str]()
    if is_transformers_model(subject.adapter.model):
        try:
            notes += _write_hf(subject, folder)
        except ModelError as error:
            notes.append(f"There are no weights for from_pretrained: {error}.")
    elif subject.source is not None:
        copy_configuration(subject.source, folder)
    save_onnx(graph, folder / ONNX_FILE)
    _write_sparse(subject, folder / SPARSE_FILE)
    whole = {**told, "notes": [*told.get("notes", ()), *notes]}
    write_result(whole, folder / SPARSE_FILE)
    if "trials" in told and has_cards():
        write_card(folder / CARD_FILE, whole)
    return notes


def _form(name: str) -> Form:
    if not isinstance(name, str) or name not in FORMS:
        raise OptionError(f"unknown form {name!r}; choose one of: {', '.join(FORMS)}")
    return FORMS[name]


def _is_file(path: Path, to: str) -> bool:
    """Return whether a path names a file of a form, and not a folder for it."""
    forms = {Path(form.file).suffix: name for name, form in FORMS.items() if form.file}
    found = forms.get(path.suffix)
    if found not in (None, to):
        raise OptionError(f"{path} ends as a file of the form {found!r}, and {to!r} is asked for")
    return found is not None


def _filled(folder: Path, fill: Callable[[Path], list[str]]) -> Written:
    """Let `fill` write a folder and return notes; return what is in it."""
    check_folder(folder)

    def write(inside: Path) -> Written:
        notes = fill(inside)
        files = sorted(str(path.relative_to(inside)) for path in inside.rglob("*"))
        return Written(folder, tuple(files), tuple(notes))

    return write_folder(folder, write)
