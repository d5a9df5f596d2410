"""What a layer's calibration inputs say about its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossamer.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

# Columns of X^T X computed at once.
_STRIP = 192


class LayerStatistics:
    """Sums over the inputs of one layer, gathered batch by batch.

    A layer is a matrix `[rows, columns]`. A grouped convolution is `groups` such matrices one
    below the other, each with inputs of its own.

    Args:
        name: the layer's name, for messages.
        columns: inputs of one output.
        groups: groups of a convolution; 1 for everything else.
        hessian: keep X^T X (`columns` squared numbers a group) and not only its diagonal.
        bias: whether the layer has a bias that may be estimated anew.

    Attributes:
        count: input rows seen so far.
        targeted: whether each batch came with the outputs that the layer should give.
    """

    def __init__(
        self, name: str, columns: int, *, groups: int = 1, hessian: bool = True, bias: bool = False
    ) -> None:
        self.name = name
        self.bias = bias
        self.columns = columns
        self.groups = groups
        self.count = 0
        self.targeted = hessian
        self._keep_hessian = hessian
        # Sums in double precision: hundreds of batches are added up, then a matrix is inverted.
        self._sum: Tensor | None = None
        self._products: Tensor | None = None
        self._sums: tuple[Tensor, Tensor] | None = None

    def update(self, inputs: Tensor, targets: Tensor | None = None) -> None:
        """Add a batch of inputs, and of the outputs that the layer should give for them.

        Args:
            inputs: `[n, columns]`, or `[groups, n, columns]` for a grouped layer.
            targets: `[n, rows]` or `[groups, n, rows / groups]`, without the layer's bias; a batch
                without them makes those of the others useless.

        Raises:
            DataError: if the shape does not fit the layer, or an input is NaN or infinite.
        """
        import torch

        inputs = inputs.detach()
        if inputs.ndim == 2:
            inputs = inputs.unsqueeze(0)
        if inputs.ndim != 3 or inputs.shape[0] != self.groups or inputs.shape[2] != self.columns:
            raise DataError(
                f"layer '{self.name}' takes {self.columns} inputs in {self.groups} group(s) but "
                f"was given an array of shape {tuple(inputs.shape)}; check the calibration data"
            )
        # Half precision would overflow when squared.
        if inputs.dtype != torch.float64:
            inputs = inputs.float()
        if self._keep_hessian:
            added = _gram(inputs)
            finite = added.diagonal(dim1=1, dim2=2).isfinite().all()
        else:
            added = inputs.square().sum(dim=1)
            finite = added.isfinite().all()
        if not finite:
            raise DataError(
                f"layer '{self.name}' receives NaN or infinite inputs during calibration; check "
                "the calibration data and whether the model overflows in its own precision"
            )
        self._sum = added.double() if self._sum is None else self._sum.add_(added)
        self.count += inputs.shape[1]
        self._add_products(inputs, targets)

    def square_sums(self) -> Tensor:
        """Return the sum of squares per input, float64 `[groups, columns]`.

        Raises:
            DataError: if no input was seen.
        """
        total = self._total()
        return total.diagonal(dim1=1, dim2=2) if self._keep_hessian else total

    def hessian(self) -> Tensor:
        """Return X^T X, float64 `[groups, columns, columns]`: the layer's squared error's Hessian.

        Raises:
            DataError: if no input was seen.
        """
        if not self._keep_hessian:
            raise ValueError("these statistics were gathered with hessian=False")
        return self._total()

    def products(self) -> Tensor:
        """Return Y^T X of the targets Y and the inputs X, float64 `[groups, rows, columns]`.

        Raises:
            ValueError: if not every batch had targets.
        """
        if not self.targeted or self._products is None:
            raise ValueError("these statistics were gathered without targets")
        return self._products

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of inputs and targets, float64 `[groups, 1, columns or rows]`.

        Raises:
            ValueError: if not every batch had targets.
        """
        if not self.targeted or self._sums is None:
            raise ValueError("these statistics were gathered without targets")
        return self._sums

    def _add_products(self, inputs: Tensor, targets: Tensor | None) -> None:
        if targets is None or not self.targeted:
            self.targeted, self._products, self._sums = False, None, None
            return
        targets = targets.detach().to(inputs.dtype).reshape(*inputs.shape[:2], -1)
        added = targets.transpose(1, 2) @ inputs
        if not added.isfinite().all():
            raise DataError(
                f"layer '{self.name}' gives NaN or infinite outputs during calibration; check the "
                "calibration data and whether the model overflows in its own precision"
            )
        first, other = (part.sum(dim=1, keepdim=True).double() for part in (inputs, targets))
        if self._products is None or self._sums is None:
            self._products, self._sums = added.double(), (first, other)
        else:
            self._products.add_(added)
            self._sums = self._sums[0] + first, self._sums[1] + other

    def _total(self) -> Tensor:
        if self._sum is None:
            raise DataError(
                f"layer '{self.name}' was never reached by the calibration data; "
                "leave it out with layers=, or add data that uses it"
            )
        return self._sum


def _gram(inputs: Tensor) -> Tensor:
    """Return X^T X of `[groups, n, columns]`; of a wide one half is computed and mirrored."""
    columns = inputs.shape[2]
    if columns < 2 * _STRIP:
        return inputs.transpose(1, 2) @ inputs
    gram = inputs.new_empty((inputs.shape[0], columns, columns))
    for start in range(0, columns, _STRIP):
        end = start + _STRIP
        strip = inputs[:, :, start:end].transpose(1, 2) @ inputs[:, :, start:]
        gram[:, start:end, start:] = strip
        gram[:, end:, start:end] = strip[:, :, _STRIP:].transpose(1, 2)
    return gram
