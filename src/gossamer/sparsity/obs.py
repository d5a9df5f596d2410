"""Optimal brain surgeon: remove weights and let the remaining ones make up for them.

Frantar, Alistarh: SparseGPT: Massive Language Models Can be Accurately Pruned in One-Shot, 2023
(algorithm 1). For a layer Y = X W^T the squared error of its output has the Hessian H = X^T X,
the same for each row of W. Columns are worked through from left to right. With U the upper
Cholesky factor of H^-1 (H^-1 = U^T U), removing w_j costs w_j^2 / U_jj^2 once the columns before j
are settled, and is best made up for by subtracting w_j / U_jj * U_jk from every later w_k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossamer.errors import ModelError, OptionError
from gossamer.sparsity.registry import checked_sparsity

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.sparsity.patterns import Pattern
    from gossamer.sparsity.statistics import LayerStatistics

BLOCK = 128
DAMPING = 0.01
_ATTEMPTS = 5
_STRIP = 16


def solve_obs(
    weight: Tensor,
    statistics: LayerStatistics | None,
    pattern: Pattern,
    sparsity: float,
    *,
    block: int = BLOCK,
    damping: float = DAMPING,
) -> tuple[Tensor, Tensor]:
    """Remove the fraction `sparsity` of the weights and update the others to make up for it.

    The mask of a block of columns is chosen when its turn comes, from weights that already carry
    the updates of the blocks before. Weights that are zero to begin with stay zero and count as
    removed. Inputs that were zero throughout calibration lose their weights first, but a weight
    of theirs that is kept keeps its value (the paper's code clears it): the input may well be
    alive on other data. And since each update also falls on weights that go later, it can do more
    harm than good where inputs are nearly dependent: a row whose squared error on the calibration
    inputs would be less without updates goes without, which the paper's code does not check.

    Args:
        weight: `[rows, columns]`; left as it is.
        statistics: with the Hessian of the layer's inputs.
        pattern: which weights may be removed together, within a block of columns.
        sparsity: 0 to 1; over whole layers exactly `round(sparsity * rows * columns)` go with the
            unstructured pattern, unless more were zero before.
        block: columns whose mask is chosen together, and whose effect on later columns is
            applied at once.
        damping: added to the Hessian's diagonal, as a fraction of the diagonal's mean.

    Returns:
        The sparse weight and its boolean mask, both `[rows, columns]`.

    Raises:
        OptionError: if there are no statistics, or `sparsity` is outside 0..1.
        ModelError: if the Hessian cannot be factorised even with far more damping.
    """
    import torch

    sparsity = checked_sparsity(sparsity)
    if statistics is None:
        raise OptionError("solver 'obs' needs calibration data; give some, or use 'magnitude'")
    rows, columns = weight.shape
    groups = statistics.groups
    factor, dead = _inverse_factor(statistics, damping)
    factor = factor.to(weight)
    work = weight.clone().reshape(groups, rows // groups, columns)
    zero = work == 0
    mask = torch.ones_like(zero)

    for start in range(0, columns, block):
        end = min(start + block, columns)
        part = work[:, :, start:end].clone()
        local = factor[:, start:end, start:end]
        scores = (part / local.diagonal(dim1=1, dim2=2).unsqueeze(1)).square()
        scores.masked_fill_(dead[:, None, start:end], 0.0)
        scores.masked_fill_(zero[:, :, start:end], -1.0)
        # Rounding to the running total makes the blocks add up to the layer's exact count.
        removed = round(sparsity * rows * end) - round(sparsity * rows * start)
        keep = pattern.mask(
            scores.reshape(rows, end - start), removed / (rows * (end - start))
        ).reshape(part.shape)
        keep = keep & ~zero[:, :, start:end]
        errors = _eliminate(part, keep, local)
        work[:, :, start:end] = part
        mask[:, :, start:end] = keep
        if end < columns:
            work[:, :, end:] -= errors @ factor[:, start:end, end:]

    # Later blocks received updates in places that the mask then removed; zero weights too.
    work.masked_fill_(~mask, 0.0)
    dense = weight.reshape(work.shape)
    hessian = statistics.hessian().to(weight)
    worse = _loss(work - dense, hessian) > _loss(dense * mask - dense, hessian)
    work = torch.where(worse.unsqueeze(2), dense * mask, work)
    return work.reshape(rows, columns), mask.reshape(rows, columns)


def _loss(change: Tensor, hessian: Tensor) -> Tensor:
    """Return the squared error, `[groups, rows]`, that a change of the weights makes."""
    return ((change @ hessian) * change).sum(dim=2)


def _eliminate(part: Tensor, keep: Tensor, factor: Tensor) -> Tensor:
    """Remove `~keep` from `part` `[groups, rows, block]` in place, column by column.

    Returns what each removal costs, scaled for the columns after the block.
    """
    import torch

    # Columns become contiguous rows, and updates stay within a few columns at a time: these many
    # small steps then run in cache, and without waking other threads.
    columns = part.transpose(1, 2).contiguous()
    removed = (~keep).transpose(1, 2).to(part.dtype)
    errors = torch.empty_like(columns)
    for start in range(0, columns.shape[1], _STRIP):
        end = min(start + _STRIP, columns.shape[1])
        for column in range(start, end):
            lost = columns[:, column] * removed[:, column]
            scaled = lost / factor[:, column, column].unsqueeze(1)
            errors[:, column] = scaled
            columns[:, column] -= lost
            later = factor[:, column, column + 1 : end].unsqueeze(2)
            columns[:, column + 1 : end] -= later * scaled.unsqueeze(1)
        rest = factor[:, start:end, end:].transpose(1, 2)
        columns[:, end:] -= rest @ errors[:, start:end]
    part.copy_(columns.transpose(1, 2))
    return errors.transpose(1, 2)


def _inverse_factor(statistics: LayerStatistics, damping: float) -> tuple[Tensor, Tensor]:
    """Return U `[groups, columns, columns]` with H^-1 = U^T U, and the dead inputs."""
    import torch

    hessian = statistics.hessian()
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    dead = diagonal == 0
    alive = (~dead).sum(dim=1, keepdim=True).clamp(min=1)
    mean = diagonal.sum(dim=1, keepdim=True) / alive
    mean = torch.where(mean > 0, mean, torch.ones_like(mean))
    hessian = hessian / mean.unsqueeze(2)
    identity = torch.eye(hessian.shape[1], dtype=hessian.dtype, device=hessian.device)
    hessian = hessian + torch.diag_embed(dead.to(hessian.dtype))
    for _ in range(_ATTEMPTS):
        # If J reverses the order, J H J = L L^T gives H = V V^T with V = J L J upper triangular,
        # so U = V^-1: one factorisation, and H^-1 is never formed.
        lower, failed = torch.linalg.cholesky_ex((hessian + damping * identity).flip(1, 2))
        if not failed.any():
            upper = lower.flip(1, 2)
            factor = torch.linalg.solve_triangular(upper, identity.expand_as(upper), upper=True)
            return factor, dead
        damping = max(10 * damping, 1e-6)
    raise ModelError(
        f"the calibration inputs of layer '{statistics.name}' are too degenerate to invert; "
        "give more varied calibration data, or use solver 'wanda'"
    )
