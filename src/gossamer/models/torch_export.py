"""Writing a PyTorch module as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gossamer.errors import DataError, ModelError
from gossamer.files import atomic_path
from gossamer.models.adapter import AxisNames, Batch
from gossamer.models.torch_axes import OpenAxes, Tensors, closed, find_open_axes
from gossamer.models.torch_batches import calibrating, for_inference
from gossamer.models.torch_exporters import by_export, by_tracing, quiet
from gossamer.models.torch_forms import copied
from gossamer.models.torch_traced import Traced
from gossamer.models.torch_verification import can_verify, difference
from gossamer.user_code import describe

# Kinds of numbers that both torch and ONNX Runtime take as inputs; others are widened.
_TAKEN = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def export(
    model: nn.Module,
    path: str | Path,
    example: Batch,
    dynamic_axes: AxisNames | None = None,
) -> None:
    """Write a module as an ONNX file that computes in float32.

    Inputs bear the names of the forward arguments that `example` gives, and have its types. Which
    of their axes are open is found by running the module with other sizes, see
    `gossamer.models.torch_axes.find_open_axes`. A transformers model gives `last_hidden_state`, or
    `logits` if it has a head; other models give every tensor that forward returns, see
    `gossamer.models.torch_outputs.main_outputs`.

    Torch has two exporters. The older, which traces, takes a tenth to a hundredth of the other's
    time, but may freeze what depends on sizes or values. Its graph is taken where ONNX Runtime
    shows that it gives what the module gives: for the example, for other sizes and for other
    values. Else it is that of `torch.export`, if it stands the same test. Where neither does with
    open axes, none is open.

    Args:
        model: left as it is; a copy is exported.
        path: of the file.
        example: arrays by argument name, at least one sample; what matters are types and shapes.
        dynamic_axes: the open axes, and no others, by input, number and name; axes of one name have
            one size. None to find them.

    Raises:
        ModelError: if the model cannot be exported or exceeds 2 GB.
        OptionError: if `dynamic_axes` names an axis that the model does not have or cannot open.
        DataError: if the example does not run through the model.
        OutputError: if the file cannot be written.
    """
    traced = Traced(for_inference(copied(model)).float().cpu(), list(example))
    given = {name: _to_tensor(array) for name, array in example.items()}
    with calibrating(traced.model), quiet():
        axes = find_open_axes(traced.runs, given, dynamic_axes)
        try:
            traced(*axes.tensors.values())
        except ModelError:
            raise
        except Exception as error:
            raise DataError(
                f"the example inputs do not run through the model ({describe(error)}); check "
                "their shapes and values"
            ) from error
        proto = _exported(traced, given, axes)
    with atomic_path(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def _exported(traced: Traced, given: Tensors, axes: OpenAxes) -> onnx.ModelProto:
    """Return the export of the first exporter whose graph gives what the module gives."""
    # What is traced and cannot be tested is trusted last.
    exporters = (by_tracing, by_export) if can_verify() else (by_export, by_tracing)
    causes: dict[str, str] = {}
    labels = {label for names in axes.names.values() for label in names.values()}
    for chosen in (axes, closed(axes, given, labels))[: 2 if labels else 1]:
        for write in exporters:
            try:
                proto, found = write(traced, given, chosen)
            except Exception as error:
                causes.setdefault(write.__name__, _cause(error))
                continue
            wrong = difference(proto, traced, found) if can_verify() else None
            if wrong is None:
                return proto
            causes.setdefault(write.__name__, wrong)
    raise ModelError(
        f"the model cannot be exported to ONNX ({causes[by_export.__name__]}); its forward must "
        "be traceable by torch.onnx.export: without branches on values, and with operators that "
        "ONNX has"
    )


def _to_tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype.name not in _TAKEN:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
    return torch.from_numpy(np.ascontiguousarray(array))


def _cause(error: BaseException) -> str:
    """Return the first cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return describe(error)
