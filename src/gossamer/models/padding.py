"""Padding: which positions of a model's tensors hold no token, by the masks among its inputs.

What a mask speaks of has its shape, `[samples, positions]`. The converse need not hold where a
model takes more than the mask's own tokens: the decoder's may be as many as the encoder's. There
the model is tried with fewer of the mask's tokens, and what keeps its shape is not spoken of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gossamer.models import token_inputs

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.models.torch_axes import Tensors

Shapes = Mapping[str, Sequence[tuple[int, ...]]]
"""Of tensors within a run, by the name of what holds them, in the order of its uses."""


class Padding:
    """Knows which mask speaks of which tensor. Nothing learned, it goes by their shapes alone."""

    def __init__(self) -> None:
        # By mask and by the tensors' name, whether it speaks of each use.
        self._spoken: dict[str, dict[str, list[bool]]] = {}
        self._tried: set[tuple[str, ...]] = set()

    def learn(
        self,
        batches: Sequence[Mapping[str, Any]],
        tensors_of: Callable[[Mapping[str, Any]], Tensors],
        shapes: Callable[[Tensors], Shapes],
    ) -> None:
        """Find out by trial, where a batch has inputs that the mask may not speak of.

        Args:
            batches: arrays or tensors by input name. Only the first such is tried, and only if it
                has inputs of other names than those that were tried before.
            tensors_of: a batch as the model takes it.
            shapes: of the tensors in a run with such inputs; may raise anything if it fails.
        """
        from gossamer.models.torch_axes import find_open_axes

        doubtful = next((batch for batch in batches if _is_doubtful(batch)), None)
        if doubtful is None or tuple(doubtful) in self._tried:
            return
        self._tried.add(tuple(doubtful))

        def runs(tensors: Tensors) -> bool:
            try:
                shapes(tensors)
            except Exception:
                return False
            return True

        given = tensors_of(doubtful)
        axes = find_open_axes(runs, given)
        others = dict(axes.others())
        before: Shapes | None = None
        for name in token_inputs.masks(given):
            label = axes.names[name].get(1)
            if label is None:
                continue
            before = before or shapes(axes.tensors)
            after = shapes(others[label])
            sizes = axes.tensors[name].shape, others[label][name].shape
            self._spoken[name] = {
                holder: [
                    all(map(_fits, uses, sizes))
                    for uses in zip(before[holder], after.get(holder, ()), strict=False)
                ]
                for holder in before
            }

    def mask(
        self, batch: Mapping[str, Any], holder: str, shape: Sequence[int], use: int = 0
    ) -> Tensor | None:
        """Return the mask that speaks of a tensor, `[samples, positions]`; None if none does.

        Args:
            batch: arrays or tensors by input name.
            holder: the name of what holds the tensor.
            shape: the tensor's.
            use: which of the holder's uses in a run it is, from 0.
        """
        import torch

        for name in token_inputs.masks(batch):
            spoken = self._spoken.get(name, {}).get(holder, [])
            if _fits(shape, batch[name].shape) and (use >= len(spoken) or spoken[use]):
                return torch.as_tensor(batch[name])
        return None


def without_padding(rows: Tensor, mask: Tensor | None) -> Tensor:
    """Return `[..., columns]` as `[n, columns]`, without the positions that a mask calls padding.

    Args:
        rows: `[samples, positions, ..., columns]` or `[samples x positions, columns]`.
        mask: `[samples, positions]`, 0 for padding; or None, and `rows` may have any shape. A
            single number stays one.
    """
    if not rows.ndim:
        return rows
    columns = rows.shape[-1]
    if mask is not None:
        present = (mask != 0).to(rows.device)
        rows = rows[present.reshape(-1) if rows.ndim == 2 else present]
    return rows.reshape(-1, columns)


def _fits(shape: Sequence[int], mask: Sequence[int]) -> bool:
    """Return whether a tensor has a mask's axes, as they are or as one; a pooler's has not."""
    if len(mask) != 2:
        return False
    if len(shape) == 2:
        return shape[0] == prod(mask)
    return len(shape) > 2 and tuple(shape[:2]) == tuple(mask)


def _is_doubtful(batch: Mapping[str, Any]) -> bool:
    """Return whether a batch has a mask, and inputs that may be about other tokens."""
    several = len(set(map(token_inputs.family, batch))) > 1
    return several and bool(token_inputs.masks(batch))
