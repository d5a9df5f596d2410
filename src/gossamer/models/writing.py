"""The forms in which a model is written: each by itself, or all together for deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from gossamer import formats
from gossamer.errors import DataError, ModelError
from gossamer.files import as_path
from gossamer.folders import check_folder, write_folder
from gossamer.formats import save_onnx
from gossamer.formats.result_file import read_result, write_result
from gossamer.models.hugging_face import is_transformers_model
from gossamer.models.made import Made
from gossamer.models.opening import open_model
from gossamer.models.places import ONNX_FILE, SPARSE_FILE
from gossamer.models.pretrained import copy_configuration, source_of, write_pretrained
from gossamer.models.source import export as export_graph
from gossamer.models.source import refuse_axes, sparse_file, text_example

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
        example: inputs to trace a module with; see `gossamer.models.source.as_onnx`.
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


def write_sparse(subject: Subject, path: Path, values: Values = "fp32") -> list[str]:
    """Write the sparse file of a subject with its graph; see `gossamer.save`."""
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
    "sparse": Form(write_sparse, SPARSE_FILE),
    "hf": Form(_write_hf, None, trainable=True),
}
"""By the name that `export` takes."""


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
    return filled(as_path(folder), lambda inside: write_forms(subject, inside, told))


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
    write_sparse(subject, folder / SPARSE_FILE)
    whole = {**told, "notes": [*told.get("notes", ()), *notes]}
    write_result(whole, folder / SPARSE_FILE)
    if "trials" in told and has_cards():
        write_card(folder / CARD_FILE, whole)
    return notes


def filled(folder: Path, fill: Callable[[Path], list[str]]) -> Written:
    """Let `fill` write a folder and return notes; return what is in it."""
    check_folder(folder)

    def write(inside: Path) -> Written:
        notes = fill(inside)
        files = sorted(str(path.relative_to(inside)) for path in inside.rglob("*"))
        return Written(folder, tuple(files), tuple(notes))

    return write_folder(folder, write)
