"""The weights of PyTorch modules that can be pruned though no kernel skips zeros in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import nn

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Gainless:
    """One weight of a module, and how it is read as a matrix.

    Attributes:
        kind: of layer; see `gossamer.models.adapter.Layer`.
        attribute: the parameter's name in its module; the layer is named after it unless it is
            the module's `weight`.
        view: axes as which the parameter is read.
        order: in which they follow in the matrix, rows first.
        rows: of the matrix.
        groups, depthwise, kernel: see `Layer`.
        padding: an entry of an embedding that is zero whatever is pruned.
    """

    kind: Literal["convolution", "embedding", "recurrent", "experts"]
    attribute: str
    view: tuple[int, ...]
    order: tuple[int, ...]
    rows: int
    groups: int = 1
    depthwise: bool = False
    kernel: tuple[int, ...] = ()
    padding: int | None = None


def gainless(module: nn.Module) -> Iterator[Gainless]:
    """Yield such weights of a module itself: none where it is of another kind.

    Three axes in a module that is not PyTorch's own are experts, `[experts, rows, columns]`, or
    `[experts, columns, rows]` where the module says `is_transposed`, as in transformers.
    """
    own = dict(module.named_parameters(recurse=False))
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        if "weight" in own:
            shape = tuple(own["weight"].shape)
            yield Gainless(
                "embedding", "weight", shape, (0, 1), shape[0], padding=module.padding_idx
            )
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        for name, parameter in own.items():
            if parameter.ndim == 2:
                shape = tuple(parameter.shape)
                yield Gainless("recurrent", name, shape, (0, 1), shape[0])
    elif isinstance(module, nn.Conv3d):
        if "weight" in own:
            rows, channels, *kernel = own["weight"].shape
            yield Gainless(
                "convolution",
                "weight",
                (rows, channels * prod(kernel)),
                (0, 1),
                rows,
                groups=module.groups,
                depthwise=module.groups > 1 and channels == 1,
                kernel=tuple(kernel),
            )
    elif isinstance(module, _TRANSPOSED):
        if "weight" in own:
            channels, rows, *kernel = own["weight"].shape
            groups = module.groups
            yield Gainless(
                "convolution",
                "weight",
                (groups, channels // groups, rows, prod(kernel)),
                (0, 2, 1, 3),
                groups * rows,
                groups=groups,
                kernel=tuple(kernel),
            )
    elif not type(module).__module__.startswith("torch."):
        turned = bool(getattr(module, "is_transposed", False))
        for name, parameter in own.items():
            # A single one along the first axis is no expert, but the like of a position's table.
            if parameter.ndim == 3 and min(parameter.shape) > 1:
                shape = tuple(parameter.shape)
                order = (0, 2, 1) if turned else (0, 1, 2)
                rows = shape[0] * shape[order[1]]
                yield Gainless("experts", name, shape, order, rows, groups=shape[0])
