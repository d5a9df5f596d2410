"""Writing a PyTorch module as an ONNX file."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gossamer.errors import DataError, ModelError
from gossamer.files import atomic_path
from gossamer.models.adapter import Batch
from gossamer.models.hugging_face import is_transformers_model
from gossamer.models.python_file import describe
from gossamer.models.torch_batches import calibrating, to_tensors
from gossamer.models.torch_outputs import main_outputs

OPSET = 17
"""The first with LayerNormalization as one operator."""


def export(model: nn.Module, path: str | Path, example: Batch) -> None:
    """Write a module as an ONNX file in float32.

    Inputs bear the names of the forward arguments that `example` gives. Their first axis is the
    dynamic axis "batch"; the second axis of token inputs (whole numbers, two axes) is the dynamic
    axis "sequence". A transformers model gives `last_hidden_state`, or `logits` if it has a head;
    other models give what forward returns, as "output", "output_0", ... or under its own keys.

    Args:
        model: left as it is; a copy is traced.
        path: of the file.
        example: arrays by argument name, at least one sample; what matters are types and shapes.

    Raises:
        ModelError: if the model cannot be traced or exceeds 2 GB.
        DataError: if the example does not run through the model.
        OutputError: if the file cannot be written.
    """
    traced = _Traced(copy.deepcopy(model).float().cpu(), list(example))
    tensors = {name: _two(tensor) for name, tensor in to_tensors(traced.model, example).items()}
    tokens = [name for name, tensor in tensors.items() if _is_tokens(tensor)]
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in tensors}
    for name in tokens:
        axes[name][1] = "sequence"
    with calibrating(traced.model), _quiet():
        axes.update(_output_axes(traced, tensors, tokens))
        with atomic_path(path) as temporary:
            try:
                torch.onnx.export(
                    traced,
                    tuple(tensors.values()),
                    str(temporary),
                    input_names=list(tensors),
                    output_names=traced.names,
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    # The tracing exporter takes a second where the other takes half a minute.
                    dynamo=False,
                )
            except OSError:
                raise
            except Exception as error:
                raise ModelError(
                    f"the model cannot be exported to ONNX ({describe(error)}); its forward must "
                    "be traceable by torch.onnx.export"
                ) from error


class _Traced(nn.Module):
    """A module that takes its inputs by position and returns a tuple of tensors.

    Attributes:
        names: of the outputs, known after a first run.
    """

    def __init__(self, model: nn.Module, arguments: list[str]) -> None:
        super().__init__()
        self.model = model
        self.arguments = arguments
        self.names: list[str] = []
        if is_transformers_model(model):
            # Plain matrix products and a softmax: what any runtime knows how to run.
            model.set_attn_implementation("eager")  # type: ignore[operator]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(**dict(zip(self.arguments, tensors, strict=True)))
        named = main_outputs(self.model, outputs)
        self.names = list(named)
        return tuple(named.values())


def _output_axes(
    traced: _Traced, tensors: Mapping[str, Tensor], tokens: list[str]
) -> dict[str, dict[int, str]]:
    """Return which axes of the outputs follow the batch and the sequence, by trying."""

    def shapes(inputs: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
        try:
            return [tuple(output.shape) for output in traced(*inputs.values())]
        except Exception as error:
            raise DataError(
                f"the example inputs do not run through the model ({describe(error)}); check "
                "their shapes and values"
            ) from error

    before = shapes(tensors)
    changes = {"batch": shapes({name: _two(tensor, 3) for name, tensor in tensors.items()})}
    if tokens and all(tensors[name].shape[1] > 1 for name in tokens):
        changes["sequence"] = shapes(
            {name: tensor[:, :-1] if name in tokens else tensor for name, tensor in tensors.items()}
        )
    axes: dict[str, dict[int, str]] = {name: {} for name in traced.names}
    for label, after in changes.items():
        for name, one, other in zip(traced.names, before, after, strict=True):
            axes[name].update({axis: label for axis, size in enumerate(one) if size != other[axis]})
    return axes


def _two(tensor: Tensor, samples: int = 2) -> Tensor:
    """Return so many samples: an axis of one would be traced as something to broadcast."""
    repeats = -(-samples // tensor.shape[0])
    return tensor.repeat(repeats, *[1] * (tensor.ndim - 1))[:samples]


def _is_tokens(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and not tensor.is_floating_point()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the warnings and prints of tracing, which say nothing to the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
