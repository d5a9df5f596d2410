"""Convolutions as matrices: the inputs under the kernel at each output position, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# The unfolded input is as many times larger as the kernel has taps, so it comes in pieces.
_PIECE = 8_000_000


def unfold(
    inputs: Tensor,
    kernel: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Iterator[Tensor]:
    """Yield a convolution's inputs as `[groups, n, channels / groups * taps]`, a few samples each.

    Args:
        inputs: `[samples, channels, width]` or `[samples, channels, height, width]`.
        kernel: its size along each spatial axis.
        stride: along each spatial axis.
        padding: zeros before and after each spatial axis.
        dilation: along each spatial axis.
        groups: into which the channels are split.
    """
    import torch
    from torch.nn import functional

    if inputs.ndim == 3:
        inputs = inputs.unsqueeze(2)
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
        padding = ((0, 0), *padding)
    (top, bottom), (left, right) = padding
    inputs = functional.pad(inputs, (left, right, top, bottom))
    channels, height, width = inputs.shape[1:]
    columns = channels // groups * kernel[0] * kernel[1]
    positions = (height // stride[0] + 1) * (width // stride[1] + 1)
    samples = max(1, _PIECE // (columns * groups * positions))
    for piece in torch.split(inputs, samples):
        taps = functional.unfold(
            piece, tuple(kernel), dilation=tuple(dilation), stride=tuple(stride)
        )
        grouped = taps.reshape(len(piece), groups, columns, -1).permute(1, 0, 3, 2)
        yield grouped.reshape(groups, -1, columns)
