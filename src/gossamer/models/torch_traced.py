"""A PyTorch module as a function from tensors to tensors, which is what can be exported."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gossamer.models.hugging_face import is_transformers_model
from gossamer.models.torch_axes import Tensors
from gossamer.models.torch_outputs import main_outputs


class Traced(nn.Module):
    """A module that takes its inputs by position and returns a tuple of tensors.

    Attributes:
        names: of the outputs, known after a first run.
    """

    def __init__(self, model: nn.Module, arguments: list[str]) -> None:
        super().__init__()
        # An exporter asks the module that it is given, and not those within.
        self.training = False
        self.model = model
        self.arguments = arguments
        self.names: list[str] = []
        for part in model.modules():
            if is_transformers_model(part):
                _plainly(part)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for inputs in the order of `arguments`."""
        inputs = dict(zip(self.arguments, map(_as_the_model_takes, tensors), strict=True))
        named = main_outputs(self.model, self.model(**inputs))
        self.names = list(named)
        outputs: list[Tensor] = []
        for tensor in named.values():
            # An output of a graph has one name, and is no input.
            known = any(tensor is other for other in (*outputs, *inputs.values(), *tensors))
            outputs.append(tensor.clone() if known else tensor)
        return tuple(outputs)

    def arrays(self, tensors: Tensors) -> list[NDArray[Any]]:
        """Return the outputs for these inputs."""
        return [tensor.numpy() for tensor in self(*tensors.values())]

    def runs(self, tensors: Tensors) -> bool:
        """Return whether the module takes these inputs."""
        try:
            self(*tensors.values())
        except Exception:
            return False
        return True


def _plainly(model: Any) -> None:
    """Let a transformers model compute by what any runtime knows how to run."""
    # Plain matrix products and a softmax; for stacked experts a gather and a product of batches.
    model.set_attn_implementation("eager")
    with contextlib.suppress(Exception):
        model.set_experts_implementation("batched_mm")


def _as_the_model_takes(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return tensor.float()
    return tensor if tensor.dtype == torch.bool else tensor.long()
