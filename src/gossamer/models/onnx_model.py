"""The adapter for ONNX models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from gossamer.formats.onnx_graph import join, split
from gossamer.formats.onnx_io import save_onnx
from gossamer.formats.onnx_message import is_large
from gossamer.models.adapter import (
    AxisNames,
    Batch,
    Input,
    Layer,
    LeftOut,
    ModelAdapter,
    Record,
    Seen,
)
from gossamer.models.evaluated import Evaluated
from gossamer.models.onnx_classic import classic_notes
from gossamer.models.onnx_constants import Stored, constants, read, write
from gossamer.models.onnx_feeds import describe_input
from gossamer.models.onnx_layers import OnnxLayer, count_weights, find_layers, find_left_out
from gossamer.models.onnx_targets import find_biases
from gossamer.models.onnx_walk import OnnxWalk
from gossamer.models.padding import Padding

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

    The elements of its large tensors are kept apart from the graph and are shared with copies until
    one of them replaces them.

    Args:
        model: it is left as it is. Its functions must have been inlined.
        session: makes what a user's `evaluate` receives.
        notes: what was assumed in opening it.

    Attributes:
        graph: the model without the elements of its large tensors.
        apart: these elements, by the names of the initializers and Constant nodes' outputs.

    Raises:
        ModelError: if a tensor is broken, or its data is still in an external file.
    """

    kind = "onnx"

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        session: SessionFactory = gossamer_session,
        notes: Sequence[str] = (),
    ) -> None:
        self.graph, self.apart = split(model)
        self._make_session = session
        self._notes = tuple(notes)
        # Shared with the copies, as `Padding` is of a model's form alone.
        self._padding = Padding()

    @property
    def model(self) -> onnx.ModelProto:
        """The model as it is now, put together anew."""
        return join(self.graph, lambda name: self.apart[name], set(self.apart))

    def copy(self) -> OnnxModel:
        """Return an independent copy."""
        copy = OnnxModel.__new__(OnnxModel)
        copy.graph = onnx.ModelProto()
        copy.graph.CopyFrom(self.graph)
        copy.apart = dict(self.apart)
        copy._make_session, copy._notes = self._make_session, self._notes
        copy._padding = self._padding
        return copy

    def inputs(self) -> list[Input]:
        """Return the graph's inputs, with their shapes and types."""
        graph = self.graph.graph
        initializers = {tensor.name for tensor in graph.initializer}
        return [describe_input(value) for value in graph.input if value.name not in initializers]

    def layers(self) -> list[Layer]:
        """Return the prunable layers; see `find_layers` and `find_biases`."""
        return [
            replace(found.layer, bias=name in self._biases) for name, found in self._found.items()
        ]

    def left_out(self) -> list[LeftOut]:
        """See `ModelAdapter.left_out`."""
        return find_left_out(self.graph, list(self._found.values()), self.apart)

    def notes(self) -> list[str]:
        """See `ModelAdapter.notes`."""
        return [*self._notes, *classic_notes(self.graph)]

    def weight(self, name: str) -> Tensor:
        """Return a copy of a layer's weight, float32 `[rows, columns]`."""
        import torch

        return torch.from_numpy(np.array(read(self._found[name].weight, self.apart), order="C"))

    def set_weight(self, name: str, weight: Tensor) -> None:
        """Replace a layer's weight in the model, in the tensor's own precision."""
        write(self._found[name].weight, weight.detach().cpu().numpy(), self.apart)

    def add_to_bias(self, name: str, offset: Tensor) -> None:
        """Add `[rows]` to a layer's bias in the model, in the tensor's own precision."""
        stored = self._biases[name]
        bias = read(stored, self.apart)
        write(stored, bias + offset.detach().cpu().numpy().reshape(bias.shape), self.apart)

    def norm_correction(self, batches: Sequence[Batch]) -> Callable[[OnnxModel], None]:
        """Return what does nothing: exporters fold batch normalisation into the layers before."""
        return lambda sparse: None

    def count_weights(self) -> tuple[int, int]:
        """Return the number of floating-point or quantized constants, and how many are zero.

        Single numbers are left out: they are parts of formulas.
        """
        return count_weights(self.graph, list(self._found.values()), self.apart)

    def walk(
        self,
        batches: Sequence[Batch],
        groups: Sequence[Sequence[str]],
        record: Record,
        dense: ModelAdapter | None = None,
    ) -> Iterator[list[str]]:
        """See `ModelAdapter.walk`; layers run in ONNX Runtime."""
        chosen = {name: self._found[name] for group in groups for name in group}
        twin = None
        if dense is not None:
            assert isinstance(dense, OnnxModel)
            twin = OnnxWalk(dense.graph, dense.apart, batches, chosen, record)
        walk = OnnxWalk(self.graph, self.apart, batches, chosen, record, dense=twin)
        return walk.run(groups)

    def capture(self, batches: Sequence[Batch], names: Sequence[str], seen: Seen) -> None:
        """See `ModelAdapter.capture`."""
        for _ in self.walk(batches, [list(names)], lambda name, inputs, _: seen(name, inputs)):
            pass

    def outputs(self, batches: Sequence[Batch]) -> Iterator[list[Tensor]]:
        """See `ModelAdapter.outputs`; the model runs in ONNX Runtime."""

        def nothing(name: str, inputs: Tensor, targets: Tensor | None) -> None:
            """No layer is looked at."""

        return OnnxWalk(self.graph, self.apart, batches, {}, nothing).outputs(self._padding)

    def digest(self) -> str:
        """See `ModelAdapter.digest`."""
        digest = hashlib.blake2b(digest_size=16)
        if not is_large(self.graph):
            # As one message: so the folders of earlier versions' jobs know it.
            digest.update(self.model.SerializeToString(deterministic=True))
            return digest.hexdigest()
        digest.update(self.graph.SerializeToString(deterministic=True))
        for name, array in self.apart.items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def evaluated(
        self, *, like: ModelAdapter | None = None, example: Batch | None = None
    ) -> AbstractContextManager[Evaluated]:
        """See `ModelAdapter.evaluated`: a session that can also be called."""
        likeness = None
        if like is not None and like.kind != self.kind:
            from gossamer.models.torch_evaluated import Likeness

            likeness = Likeness(like.model)
        return nullcontext(Evaluated(self, self._make_session(self.model), likeness))

    def export_onnx(
        self, path: str | Path, example: Batch, dynamic_axes: AxisNames | None = None
    ) -> None:
        """Write the model as it is; it needs no example."""
        save_onnx(self.model, path)

    @cached_property
    def _biases(self) -> dict[str, Stored]:
        graph = self.graph.graph
        return find_biases(graph, list(self._found.values()), constants(graph, self.apart))

    @cached_property
    def _found(self) -> dict[str, OnnxLayer]:
        return {found.layer.name: found for found in find_layers(self.graph, self.apart)}
