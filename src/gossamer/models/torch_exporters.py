"""The two exporters that torch has, each with what keeps it quiet."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch

from gossamer.models.torch_axes import OpenAxes, Tensors, closed
from gossamer.models.torch_names import name_axes, name_nodes
from gossamer.models.torch_traced import Traced

OPSET = 18
"""The least that torch's exporter writes without translating back."""
TRACED_OPSET = 17
"""The first with LayerNormalization as one operator, and the last that the tracing exporter knows
in full."""

# Loggers that tell of an export what says nothing to the user.
_TALKERS = ("torch", "transformers", "onnxscript", "onnx_ir")


def by_export(traced: Traced, given: Tensors, axes: OpenAxes) -> tuple[onnx.ModelProto, OpenAxes]:
    """Return what torch's maintained exporter writes, and the axes that are open in it."""
    automatic = torch.export.Dim.AUTO
    shapes = tuple(dict.fromkeys(axes.names[name], automatic) for name in axes.tensors)
    traced(*axes.tensors.values())
    program = torch.onnx.export(
        traced,
        tuple(axes.tensors.values()),
        input_names=list(axes.tensors),
        output_names=traced.names,
        dynamic_shapes=(shapes,),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    fixed = name_axes(proto.graph, axes.names)
    if fixed:
        # The module's code knows one size only, and it must be the example's.
        return by_export(traced, given, closed(axes, given, fixed))
    name_nodes(proto.graph)
    return proto, axes


def by_tracing(traced: Traced, given: Tensors, axes: OpenAxes) -> tuple[onnx.ModelProto, OpenAxes]:
    """Return what the tracing exporter writes."""
    names = {name: dict(found) for name, found in axes.names.items()}
    before = traced(*axes.tensors.values())
    for label, tensors in axes.others():
        for name, one, other in zip(traced.names, before, traced(*tensors.values()), strict=True):
            of_output = names.setdefault(name, {})
            of_output.update(
                {axis: label for axis, size in enumerate(one.shape) if size != other.shape[axis]}
            )
    file: Any = io.BytesIO()
    with _no_dumps():
        torch.onnx.export(
            traced,
            tuple(axes.tensors.values()),
            file,
            input_names=list(axes.tensors),
            output_names=traced.names,
            dynamic_axes=names,
            opset_version=TRACED_OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(file.getvalue()), axes


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the warnings, prints and logs of an export, which say nothing to the user."""
    loggers = [
        logging.getLogger(name)
        for name in (*_TALKERS, *logging.root.manager.loggerDict)
        if name.partition(".")[0] in _TALKERS
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _no_dumps() -> Iterator[None]:
    """Keep the tracing exporter from printing its graph, past sys.stdout, when it fails."""
    place: Any = torch._C
    dump = getattr(place, "_jit_onnx_log", None)
    if dump is None:
        yield
        return
    place._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        place._jit_onnx_log = dump
