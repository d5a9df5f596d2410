"""The adapter for PyTorch modules, whichever way they were loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn

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
from gossamer.models.padding import Padding, without_padding
from gossamer.models.torch_axes import Tensors
from gossamer.models.torch_batches import (
    calibrating,
    for_inference,
    forward_inputs,
    run,
    to_tensors,
)
from gossamer.models.torch_forms import adapters, copied
from gossamer.models.torch_layers import TorchLayer, find_layers, left_out
from gossamer.models.torch_norms import Statistics, correct_statistics, measured_statistics
from gossamer.models.torch_outputs import main_outputs
from gossamer.models.torch_walk import Walk

# Of fewer samples the statistics of batch normalisation would be worse than the dense model's.
LEAST_SAMPLES = 32


class TorchModel:
    """A module behind the `ModelAdapter` protocol. Weights may be of any precision.

    Args:
        model: the module; it is used as it is, so take a `copy()` before changing weights.
        kind: "torch", "hugging_face" or "exported".
        notes: what is to be told of how the module was opened.
    """

    def __init__(self, model: nn.Module, *, kind: str = "torch", notes: Sequence[str] = ()) -> None:
        self.kind = kind
        self.model = model
        self._notes = list(notes)
        # Shared with the copies: what is found out with them concerns the model.
        self._unreached: dict[str, None] = {}
        self._padding = Padding()

    def copy(self) -> TorchModel:
        """Return an independent copy in eval mode."""
        other = TorchModel(for_inference(copied(self.model)), kind=self.kind)
        other._unreached = self._unreached
        other._padding = self._padding
        return other

    def inputs(self) -> list[Input]:
        """Return the arguments of the module's forward method, or of the model that it wraps."""
        return forward_inputs(self.model)

    def layers(self) -> list[Layer]:
        """Return the prunable layers; see `find_layers`."""
        return [found.layer for found in self._found.values()]

    def left_out(self) -> list[LeftOut]:
        """See `ModelAdapter.left_out`."""
        return left_out(self.model)

    def notes(self) -> list[str]:
        """See `ModelAdapter.notes`."""
        notes = list(self._notes)
        if carried := adapters(self.model):
            first, *more = carried
            others = f" and {len(more)} more layers" if more else ""
            notes.append(
                f"'{first}'{others} carry adapters, which stay dense: merging them later fills the "
                "zeros there. Merge them first (merge_and_unload) for the stated sparsity."
            )
        if self._unreached:
            first, *more = self._unreached
            others = f" and {len(more)} more" if more else ""
            notes.append(
                f"No calibration sample reaches '{first}'{others}: the weights there went by their "
                "size alone. Add data that uses them, or leave them out with layers=."
            )
        return notes

    def weight(self, name: str) -> Tensor:
        """Return a copy of a layer's weight, float32 `[rows, columns]`, on the model's device."""
        found = self._found[name]
        return found.matrix(found.parameter.detach()).float().clone()

    def set_weight(self, name: str, weight: Tensor) -> None:
        """Replace a layer's weight in place, in the parameter's own precision."""
        found = self._found[name]
        with torch.no_grad():
            found.parameter.copy_(found.unfolded(weight))

    def add_to_bias(self, name: str, offset: Tensor) -> None:
        """Add `[rows]` to a layer's bias in place."""
        bias = self._found[name].bias
        assert bias is not None, name
        with torch.no_grad():
            bias.add_(offset.to(bias))

    def norm_correction(self, batches: Sequence[Batch]) -> Callable[[TorchModel], None]:
        """See `ModelAdapter.norm_correction`; batches of a single sample are left out."""
        sizes = [len(next(iter(batch.values()))) for batch in batches]
        several = [batch for batch, size in zip(batches, sizes, strict=True) if size > 1]
        if sum(size for size in sizes if size > 1) < LEAST_SAMPLES:
            return lambda sparse: None

        def measured(model: nn.Module) -> Statistics:
            return measured_statistics(model, (to_tensors(model, batch) for batch in several))

        expected = measured(self.model)

        def correct(sparse: TorchModel) -> None:
            correct_statistics(sparse.model, self.model, expected, measured(sparse.model))

        return correct

    def count_weights(self) -> tuple[int, int]:
        """Return the number of all parameters' elements, and how many are zero."""
        total = zeros = 0
        for parameter in self.model.parameters():
            total += parameter.numel()
            # Of float8 torch cannot count.
            counted = parameter.float() if parameter.element_size() == 1 else parameter
            zeros += parameter.numel() - int(torch.count_nonzero(counted))
        return total, zeros

    def walk(
        self,
        batches: Sequence[Batch],
        groups: Sequence[Sequence[str]],
        record: Record,
        dense: ModelAdapter | None = None,
    ) -> Iterator[list[str]]:
        """See `ModelAdapter.walk`; both models must be a `copy()`, in eval mode."""
        twin = dense.model if dense is not None else None
        return Walk(
            self.model,
            batches,
            self._chosen(groups),
            record,
            dense=twin,
            unreached=lambda name: self._unreached.update({name: None}),
        ).run(groups)

    def capture(self, batches: Sequence[Batch], names: Sequence[str], seen: Seen) -> None:
        """See `ModelAdapter.capture`."""
        groups = [list(names)] if names else []
        walk = Walk(
            self.model, batches, self._chosen(groups), lambda name, inputs, _: seen(name, inputs)
        )
        for _ in walk.run(groups):
            pass

    def outputs(self, batches: Sequence[Batch]) -> Iterator[list[Tensor]]:
        """See `ModelAdapter.outputs`; the model must be a `copy()`, in eval mode."""

        def shapes(tensors: Tensors) -> dict[str, list[tuple[int, ...]]]:
            found = main_outputs(self.model, self.model(**tensors))
            return {name: [tuple(tensor.shape)] for name, tensor in found.items()}

        with calibrating(self.model):
            self._padding.learn(batches, partial(to_tensors, self.model), shapes)
        for number, batch in enumerate(batches, start=1):
            with calibrating(self.model):
                found = main_outputs(self.model, run(self.model, batch, number))
            yield [
                without_padding(tensor, self._padding.mask(batch, name, tensor.shape))
                for name, tensor in found.items()
                if tensor.is_floating_point()
            ]

    def digest(self) -> str:
        """See `ModelAdapter.digest`."""
        digest = hashlib.blake2b(type(self.model).__qualname__.encode(), digest_size=16)
        for name, tensor in self.model.state_dict().items():
            if isinstance(tensor, Tensor):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                content = tensor.detach().cpu().contiguous().reshape(-1)
                if content.numel():
                    digest.update(content.view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def evaluated(
        self, *, like: ModelAdapter | None = None, example: Batch | None = None
    ) -> AbstractContextManager[nn.Module]:
        """See `ModelAdapter.evaluated`: the module itself, in eval mode."""
        from gossamer.models.torch_evaluated import answering

        return answering(for_inference(self.model), example)

    def export_onnx(
        self, path: str | Path, example: Batch, dynamic_axes: AxisNames | None = None
    ) -> None:
        """See `ModelAdapter.export_onnx` and `gossamer.models.torch_export`."""
        from gossamer.models.torch_export import export

        export(self.model, path, example, dynamic_axes)

    def _chosen(self, groups: Sequence[Sequence[str]]) -> dict[str, TorchLayer]:
        return {name: self._found[name] for group in groups for name in group}

    @cached_property
    def _found(self) -> dict[str, TorchLayer]:
        return {found.layer.name: found for found in find_layers(self.model)}
