"""The protocol between pruning and the kinds of model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Batch = Mapping[str, "np.ndarray[Any, Any]"]
"""Input arrays by input name; the first axis of each is the sample.

Text is an array of fixed-width strings (dtype kind "U"), and a sequence of arrays an array of
objects along one axis, which says nothing of samples.
"""

Seen = Callable[[str, "Tensor"], None]
"""Receives a layer's name and its inputs, `[n, columns]` or `[groups, n, columns]`."""

Record = Callable[[str, "Tensor", "Tensor | None"], None]
"""Like `Seen`, and also receives the layer's targets: what it should give for these inputs, without
its bias, `[n, rows]` or `[groups, n, rows / groups]`; None where nothing says so."""


AxisNames = Mapping[str, Mapping[int, str]]
"""Names of axes by the name of their input and their number; axes of one name have one size."""


@dataclass(frozen=True)
class Layer:
    """A prunable layer, seen as a matrix `[rows, columns]`.

    Attributes:
        name: dotted module name, or the ONNX node's name.
        kind: of layer: "experts" are stacked linear layers, one a group.
        rows: outputs (of all groups together); of an embedding its entries.
        columns: inputs of one output; for a convolution channels a group x kernel positions.
        groups: of a convolution; 1 otherwise.
        depthwise: whether it is a convolution of one input channel a group.
        block: the repeated block that holds the layer, such as "encoder.layer.3"; None outside.
        bias: whether it has a bias of its own that can be changed.
        kernel: positions of a convolution's kernel along each axis; empty for a linear layer.
        itemsize: bytes of one weight in the model's own precision.
        gain: whether a kernel skips its zeros. A layer without is pruned where the user names it.
    """

    name: str
    kind: Literal["linear", "convolution", "embedding", "recurrent", "experts"]
    rows: int
    columns: int
    groups: int = 1
    depthwise: bool = False
    block: str | None = None
    bias: bool = False
    kernel: tuple[int, ...] = ()
    itemsize: int = 4
    gain: bool = True

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.rows * self.columns

    def unit_inputs(self) -> Tensor:
        """Return inputs by which all weights count alike: the identity, `[groups, n, columns]`."""
        import torch

        return torch.eye(self.columns).expand(self.groups, -1, -1)


@dataclass(frozen=True)
class LeftOut:
    """A weight of two axes or more that no layer holds, so that it cannot be pruned.

    Attributes:
        name: of the tensor, or of what uses it.
        kind: the operator or the class of the module that uses it.
        weights: how many it has.
        reason: why it cannot be pruned, as a clause.
    """

    name: str
    kind: str
    weights: int
    reason: str


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Attributes:
        name: argument name, or ONNX input name.
        required: whether the model cannot run without it.
        shape: where the model states it: a number for a fixed axis, None for a free one.
        floating: whether it takes floating-point numbers; None if the model does not say.
        text: whether it takes text.
        sequence: whether it takes a sequence of arrays.
    """

    name: str
    required: bool
    shape: tuple[int | None, ...] | None = None
    floating: bool | None = None
    text: bool = False
    sequence: bool = False


ANY = Input("**", required=False)
"""Stands among a model's inputs for those of any further name."""


class ModelAdapter(Protocol):
    """One model of any kind.

    Attributes:
        kind: "torch", "hugging_face", "exported" or "onnx".
    """

    kind: str

    @property
    def model(self) -> Any:
        """The model itself, of the kind that was given."""
        ...

    def copy(self) -> ModelAdapter:
        """Return an independent copy, ready for inference (modules in eval mode)."""
        ...

    def inputs(self) -> list[Input]:
        """Return what the model takes, in order."""
        ...

    def layers(self) -> list[Layer]:
        """Return every prunable layer, in the order of the model's definition, shared ones once."""
        ...

    def left_out(self) -> list[LeftOut]:
        """Return the weights that no layer holds; biases and the like are not among them."""
        ...

    def notes(self) -> list[str]:
        """Return what was assumed, merged or skipped so far, each a short sentence."""
        ...

    def weight(self, name: str) -> Tensor:
        """Return a copy of a layer's weight, float32 `[rows, columns]`."""
        ...

    def set_weight(self, name: str, weight: Tensor) -> None:
        """Replace a layer's weight by `[rows, columns]`, kept in the model's own precision."""
        ...

    def add_to_bias(self, name: str, offset: Tensor) -> None:
        """Add `[rows]` to the bias of a layer that has one."""
        ...

    def norm_correction(self, batches: Sequence[Batch]) -> Callable[[Self], None]:
        """Return what moves a sparse copy's batch normalisation by what pruning changed.

        It corrects the copy in place, by the difference between it and this model, which must be
        dense and stay as it is. With fewer than 32 samples it does nothing: they say too little.

        Raises:
            DataError: if a batch does not run through the model.
        """
        ...

    def count_weights(self) -> tuple[int, int]:
        """Return the number of weights in the whole model and how many of them are zero."""
        ...

    def walk(
        self,
        batches: Sequence[Batch],
        groups: Sequence[Sequence[str]],
        record: Record,
        dense: ModelAdapter | None = None,
    ) -> Iterator[list[str]]:
        """Show the inputs of each group of layers as the model stands when its turn comes.

        For one group after another, in the order in which the model runs them, `record` receives
        the inputs of the group's layers for every batch; then the group's names are yielded. The
        caller may set the weights of these layers before it goes on, and later groups see the
        effect. Positions that a batch's `attention_mask` marks as padding are left out. A layer
        whose inputs cannot be seen, such as an embedding, is shown the identity instead, by which
        every solver goes by the size of the weights alone.

        Args:
            batches: calibration data.
            groups: names of the layers whose turn comes together.
            record: receives the inputs.
            dense: the model as it was, an independent copy. With it `record` also receives targets:
                what the layer gives in the dense model for the same batch or, where that is added
                to a residual, what gives the same sum with the residual as it is now. A group may
                then be yielded in parts, the layers with the same inputs together.

        Raises:
            DataError: if a batch does not run through the model.
        """
        ...

    def capture(self, batches: Sequence[Batch], names: Sequence[str], seen: Seen) -> None:
        """Run all batches and let `seen` receive the inputs of the layers named."""
        ...

    def outputs(self, batches: Sequence[Batch]) -> Iterator[list[Tensor]]:
        """Yield the floating-point outputs for each batch, as the model stands.

        Of a transformer it is the main output: logits, or the last hidden states. Positions that
        a batch's `attention_mask` marks as padding are left out.

        Raises:
            DataError: if a batch does not run through the model.
        """
        ...

    def digest(self) -> str:
        """Return a digest of all weights and of the kind of model: another model has another."""
        ...

    def evaluated(
        self, *, like: ModelAdapter | None = None, example: Batch | None = None
    ) -> AbstractContextManager[Any]:
        """Return a context whose value is what a user's `evaluate` receives.

        Args:
            like: a module of the same model, which the user's function may have been written for.
            example: inputs by name, from which a module's outputs are known without running it.

        Returns:
            A module, or an `Evaluated` for ONNX; see `gossamer.models.evaluated`.
        """
        ...

    def export_onnx(
        self, path: str | Path, example: Batch, dynamic_axes: AxisNames | None = None
    ) -> None:
        """Write the model as an ONNX file with a dynamic batch (and sequence) axis.

        Args:
            path: of the file.
            example: inputs to export the model with; they decide which inputs the file has.
            dynamic_axes: which axes are open, and no others, by input, number and name; None for
                those that turn out to be. An ONNX model's are what they are.

        Raises:
            OutputError: if the file cannot be written.
            OptionError: if an axis does not exist or cannot be open.
            ModelError: if the model cannot be exported.
        """
        ...
