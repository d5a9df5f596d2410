"""The adapter for ONNX models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from gossamer.formats.onnx_io import save_onnx
from gossamer.models.adapter import Batch, Input, Layer, LeftOut, ModelAdapter, Record, Seen
from gossamer.models.onnx_layers import OnnxLayer, constants, find_layers, read, write
from gossamer.models.onnx_targets import find_biases
from gossamer.models.onnx_walk import OnnxWalk

if TYPE_CHECKING:
    from torch import Tensor

SessionFactory = Callable[[onnx.ModelProto], Any]
"""From a model to what runs it: an object with `run(None, feeds)`."""


def gossamer_session(model: onnx.ModelProto) -> Any:
    """Compile a model with Gossamer's own runtime."""
    from gossamer.runtime import compile

    return compile(model)


class OnnxModel:
    """An ONNX model behind the `ModelAdapter` protocol.

    Args:
        model: used as it is, so take a `copy()` before changing weights.
        session: makes what a user's `evaluate` receives.
    """

    kind = "onnx"

    def __init__(
        self, model: onnx.ModelProto, *, session: SessionFactory = gossamer_session
    ) -> None:
        self.model = model
        self._make_session = session

    def copy(self) -> OnnxModel:
        """Return an independent copy."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return OnnxModel(model, session=self._make_session)

    def inputs(self) -> list[Input]:
        """Return the graph's inputs, with their shapes and types."""
        initializers = {tensor.name for tensor in self.model.graph.initializer}
        return [_input(value) for value in self.model.graph.input if value.name not in initializers]

    def layers(self) -> list[Layer]:
        """Return the prunable layers; see `find_layers` and `find_biases`."""
        return [
            replace(found.layer, bias=name in self._biases) for name, found in self._found.items()
        ]

    def left_out(self) -> list[LeftOut]:
        """See `ModelAdapter.left_out`."""
        return []

    def notes(self) -> list[str]:
        """See `ModelAdapter.notes`."""
        return []

    def weight(self, name: str) -> Tensor:
        """Return a copy of a layer's weight, float32 `[rows, columns]`."""
        import torch

        found = self._found[name]
        values = read(found.tensor)
        if found.transposed:
            values = values.T
        shape = (found.layer.rows, found.layer.columns)
        return torch.from_numpy(np.array(values.reshape(shape), order="C"))

    def set_weight(self, name: str, weight: Tensor) -> None:
        """Replace a layer's weight in the model, in the tensor's own precision."""
        found = self._found[name]
        values = weight.detach().cpu().numpy()
        write(found.tensor, values.T if found.transposed else values)

    def add_to_bias(self, name: str, offset: Tensor) -> None:
        """Add `[rows]` to a layer's bias in the model, in the tensor's own precision."""
        tensor = self._biases[name]
        bias = read(tensor)
        write(tensor, bias + offset.detach().cpu().numpy().reshape(bias.shape))

    def norm_correction(self, batches: Sequence[Batch]) -> Callable[[OnnxModel], None]:
        """Return what does nothing: exporters fold batch normalisation into the layers before."""
        return lambda sparse: None

    def count_weights(self) -> tuple[int, int]:
        """Return the number of floating-point constants of the graph, and how many are zero.

        Single numbers are left out: they are parts of formulas.
        """
        tensors = {id(tensor): tensor for tensor in constants(self.model.graph).values()}
        total = zeros = 0
        for tensor in tensors.values():
            values = onnx.numpy_helper.to_array(tensor)
            if values.size > 1 and (
                np.issubdtype(values.dtype, np.floating)
                or tensor.data_type == onnx.TensorProto.BFLOAT16
            ):
                total += values.size
                zeros += values.size - int(np.count_nonzero(values))
        return total, zeros

    def walk(
        self,
        batches: Sequence[Batch],
        groups: Sequence[Sequence[str]],
        record: Record,
        dense: ModelAdapter | None = None,
    ) -> Iterator[list[str]]:
        """See `ModelAdapter.walk`; layers run in ONNX Runtime."""
        chosen = {name: self._found[name] for group in groups for name in group}
        twin = dense.model if dense is not None else None
        return OnnxWalk(self.model, batches, chosen, record, dense=twin).run(groups)

    def capture(self, batches: Sequence[Batch], names: Sequence[str], seen: Seen) -> None:
        """See `ModelAdapter.capture`."""
        for _ in self.walk(batches, [list(names)], lambda name, inputs, _: seen(name, inputs)):
            pass

    def outputs(self, batches: Sequence[Batch]) -> Iterator[list[Tensor]]:
        """See `ModelAdapter.outputs`; the model runs in ONNX Runtime."""

        def nothing(name: str, inputs: Tensor, targets: Tensor | None) -> None:
            """No layer is looked at."""

        return OnnxWalk(self.model, batches, {}, nothing).outputs()

    def digest(self) -> str:
        """See `ModelAdapter.digest`."""
        content = self.model.SerializeToString(deterministic=True)
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def evaluated(self) -> Any:
        """Return a session that runs the model."""
        return self._make_session(self.model)

    def export_onnx(self, path: str | Path, example: Batch) -> None:
        """Write the model as it is; it needs no example."""
        save_onnx(self.model, path)

    @cached_property
    def _biases(self) -> dict[str, onnx.TensorProto]:
        graph = self.model.graph
        return find_biases(graph, list(self._found.values()), constants(graph))

    @cached_property
    def _found(self) -> dict[str, OnnxLayer]:
        return {found.layer.name: found for found in find_layers(self.model)}


def _input(value: onnx.ValueInfoProto) -> Input:
    tensor = value.type.tensor_type
    shape: tuple[int | None, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(
            # Some exporters write -1 for an axis that is free.
            axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else None
            for axis in tensor.shape.dim
        )
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).kind
    return Input(value.name, required=True, shape=shape, floating=kind not in "iub")
