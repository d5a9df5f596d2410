"""Patterns: which sets of weights may be removed together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gossamer.errors import OptionError, shown
from gossamer.sparsity.registry import checked_sparsity, named

if TYPE_CHECKING:
    from torch import Tensor


class Pattern(Protocol):
    """Turns scores into a mask that the pattern allows.

    Attributes:
        name: as users type it.
        shape: rows and columns of the blocks that are kept or removed whole, or within which the
            pattern counts.
        sparsity: the one that it has, or None if it can have any.
    """

    name: str
    shape: tuple[int, int]
    sparsity: float | None

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Choose the weights to keep.

        Args:
            scores: `[rows, columns]`; the higher, the more a weight matters.
            sparsity: fraction of weights to remove, 0 to 1.
            per_row: compare weights only within their row, so that every row loses equally many.

        Returns:
            Boolean `[rows, columns]`; True keeps the weight.
        """
        ...


class Unstructured:
    """Any weight may go: the lowest scores do.

    Of n weights compared with each other exactly `round(sparsity * n)` are removed, ties included.
    """

    name = "unstructured"
    shape = (1, 1)
    sparsity: float | None = None

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Keep the highest scores; see `Pattern.mask`."""
        sparsity = checked_sparsity(sparsity)
        compared = scores if per_row else scores.reshape(1, -1)
        removed = round(sparsity * compared.shape[1])
        lowest = compared.topk(removed, dim=1, largest=False, sorted=False).indices
        keep = compared.new_ones(compared.shape).bool()
        return keep.scatter_(1, lowest, False).reshape(scores.shape)


class Block:
    """Blocks of rows x columns are kept or removed whole.

    With 4x1, the default, four neighbouring outputs keep the same inputs. A block counts with the
    mean of its scores, which among blocks of one size is as good as their sum. Where the rows or
    columns do not fill the last blocks, these are smaller. Of n weights compared with each other
    so many blocks are removed as come nearest to `sparsity * n`. The blocks of a grouped
    convolution stay within a group if its outputs are a multiple of a block's rows.

    Args:
        rows: outputs of a block, 1 or more.
        columns: inputs of a block, 1 or more.
    """

    def __init__(self, rows: int = 4, columns: int = 1) -> None:
        self.name = f"block:{rows}x{columns}"
        self.sparsity: float | None = None
        self.shape = rows, columns

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Keep the blocks of highest scores; `per_row` compares those of the same rows."""
        import torch

        sparsity = checked_sparsity(sparsity)
        sizes = self._sums(torch.ones_like(scores, dtype=torch.int64))
        means = self._sums(scores) / sizes
        grid = sizes.shape
        if not per_row:
            means, sizes = means.reshape(1, -1), sizes.reshape(1, -1)
        order = means.argsort(dim=1, stable=True)
        gone = torch.nn.functional.pad(sizes.gather(1, order).cumsum(dim=1), (1, 0))
        # How many blocks to remove: those whose weights add up nearest to what is asked for.
        wanted = sparsity * gone[:, -1:].double()
        removed = (gone - wanted).abs().argmin(dim=1, keepdim=True)
        places = torch.arange(order.shape[1], device=order.device)
        keep = torch.empty_like(order, dtype=torch.bool).scatter_(1, order, places >= removed)
        rows, columns = self._within(scores)
        whole = keep.reshape(grid).repeat_interleave(rows, 0)
        return whole.repeat_interleave(columns, 1)[: scores.shape[0], : scores.shape[1]]

    def _sums(self, values: Tensor) -> Tensor:
        """Return the sum over each block."""
        import torch

        rows, columns = self._within(values)
        missing = (0, -values.shape[1] % columns, 0, -values.shape[0] % rows)
        padded = torch.nn.functional.pad(values, missing)
        blocks = padded.reshape(padded.shape[0] // rows, rows, -1, columns)
        return blocks.sum(dim=(1, 3))

    def _within(self, values: Tensor) -> tuple[int, int]:
        """Return the rows and columns of a block in a layer that may be smaller than it."""
        return min(self.shape[0], values.shape[0]), min(self.shape[1], values.shape[1])


class Channel(Block):
    """Whole rows are kept or removed: neurons of a linear layer, filters of a convolution.

    Rows are always compared with each other.
    """

    def __init__(self) -> None:
        super().__init__(1, 2**31 - 1)
        self.name = "channel"

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Keep the rows of highest mean score; see `Pattern.mask`."""
        return super().mask(scores, sparsity)


class OfEvery:
    """Of every `of` neighbouring inputs of an output `kept` stay: the pattern n:m, such as 2:4.

    Where the columns do not fill the last m, up to n of them stay. The sparsity is 1 - n / m,
    whatever is asked for, and rows lose equally many in any case.

    Args:
        kept: n, 1 or more.
        of: m, more than n.
    """

    def __init__(self, kept: int = 2, of: int = 4) -> None:
        self.name = f"{kept}:{of}"
        self.shape = 1, of
        self.sparsity: float | None = 1 - kept / of
        self._kept = kept

    def mask(self, scores: Tensor, sparsity: float, *, per_row: bool = False) -> Tensor:
        """Keep the highest scores of every m; see `Pattern.mask`."""
        import torch

        checked_sparsity(sparsity)
        rows, columns = scores.shape
        of = self.shape[1]
        padded = torch.nn.functional.pad(scores, (0, -columns % of), value=-float("inf"))
        groups = padded.reshape(rows, -1, of)
        highest = groups.topk(self._kept, dim=2).indices
        keep = torch.zeros_like(groups, dtype=torch.bool).scatter_(2, highest, True)
        return keep.reshape(rows, -1)[:, :columns]


def _unstructured(options: str) -> Pattern:
    if options:
        raise OptionError("pattern 'unstructured' takes no options; leave them out")
    return Unstructured()


def _block(options: str) -> Pattern:
    if not options:
        return Block()
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", options)
    if found is None:
        raise OptionError(
            f"pattern 'block:{options}' names no block; give its rows and columns as in block:4x1"
        )
    return Block(int(found[1]), int(found[2]))


def _channel(options: str) -> Pattern:
    if options:
        raise OptionError("pattern 'channel' takes no options; leave them out")
    return Channel()


PATTERNS: dict[str, Callable[[str], Pattern]] = {
    "unstructured": _unstructured,
    "block": _block,
    "channel": _channel,
}
"""By the part of the name before a colon; each takes the part behind it."""


def get_pattern(name: str) -> Pattern:
    """Return the pattern of that name.

    Args:
        name: `unstructured`, `block` (4 x 1), `block:RxC`, `channel`, or n:m such as `2:4`.

    Raises:
        OptionError: if there is none; the message lists the known ones, or says what fits.
    """
    if not isinstance(name, str):
        raise OptionError(f"a pattern is a name such as 'unstructured' or '2:4', not {shown(name)}")
    found = re.fullmatch(r"(\d{1,4}):(\d{1,4})", name)
    if found is not None:
        kept, of = int(found[1]), int(found[2])
        if not 0 < kept < of:
            raise OptionError(
                f"pattern '{name}' keeps {kept} of every {of}; give an n:m with 0 < n < m, as 2:4"
            )
        return OfEvery(kept, of)
    kind, _, options = name.partition(":")
    return named("pattern", kind, PATTERNS)(options)
