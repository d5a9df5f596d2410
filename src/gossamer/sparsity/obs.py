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
        pattern: which weights may be removed together, within a block of columns. Those of more
            than one row go by their summed cost, which is exact; over columns the sum leaves out
            what the removals cost each other.
        sparsity: 0 to 1; over whole layers exactly `round(sparsity * (rows * columns))` go with the
            unstructured pattern, and as near to it as whole blocks allow with others, unless more
            were zero before.
        block: columns whose mask is chosen together, and whose effect on later columns is
            applied at once; rounded up to hold the pattern's own blocks whole.
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
    root, dead = _root(statistics, damping)
    root = root.to(weight)
    identity = torch.eye(columns, dtype=root.dtype, device=root.device).expand_as(root)
    factor = torch.linalg.solve_triangular(root, identity, upper=True)
    dense = weight.reshape(groups, rows // groups, columns)
    work = dense.clone()
    zero = dense == 0
    mask = torch.ones_like(zero)
    error = dense.new_zeros(dense.shape[:2])
    block = -(-block // pattern.shape[1]) * pattern.shape[1]
    gone = 0

    for start in range(0, columns, block):
        end = min(start + block, columns)
        part = work[:, :, start:end]
        local = factor[:, start:end, start:end]
        scores = (part / local.diagonal(dim1=1, dim2=2).unsqueeze(1)).square()
        scores.masked_fill_(dead[:, None, start:end], 0.0)
        # Below a dead input's zero, and yet next to nothing in the sum over a pattern's block.
        scores.masked_fill_(zero[:, :, start:end], -torch.finfo(scores.dtype).tiny)
        # Counting what went before makes the blocks add up to the layer's exact count.
        wanted = (round(sparsity * (rows * end)) - gone) / (rows * (end - start))
        keep = pattern.mask(scores.reshape(rows, end - start), min(max(wanted, 0.0), 1.0))
        gone += keep.numel() - int(keep.count_nonzero())
        keep = keep.reshape(part.shape) & ~zero[:, :, start:end]
        costs = _eliminate(part, keep, local)
        mask[:, :, start:end] = keep
        error += costs.square().sum(dim=2)
        work[:, :, end:] -= costs @ factor[:, start:end, end:]

    # The costs' squares add up to the squared error after all updates, D H D^T = |D V|^2 of the
    # change D. Both errors count the damping; a change that only removes has the least of that, so
    # what is better here is better on the calibration inputs too.
    without = ((dense * ~mask) @ root).square().sum(dim=2)
    work = torch.where((error > without).unsqueeze(2), dense * mask, work)
    return work.reshape(rows, columns), mask.reshape(rows, columns)


def _eliminate(part: Tensor, keep: Tensor, factor: Tensor) -> Tensor:
    """Remove `~keep` from `part` `[groups, rows, block]` in place, column by column.

    Returns each removed weight over its diagonal element of `factor`, `[groups, rows, block]`: the
    root of what its removal costs, and what rows of U tell the later columns to make up for.
    """
    import torch

    # Columns become contiguous rows, and updates stay within a few columns at a time: these many
    # small steps then run in cache, and without waking other threads.
    columns = part.transpose(1, 2).contiguous()
    removed = (~keep).transpose(1, 2).to(part.dtype)
    lost = torch.empty_like(columns)
    diagonal = factor.diagonal(dim1=1, dim2=2).unsqueeze(2)
    # With ones on the diagonal, the update of a removed column leaves exactly nothing of it.
    unit = factor / diagonal
    for start in range(0, columns.shape[1], _STRIP):
        end = min(start + _STRIP, columns.shape[1])
        for at in range(start, end):
            own = slice(at, at + 1)
            torch.mul(columns[:, own], removed[:, own], out=lost[:, own])
            columns[:, at:end].baddbmm_(unit[:, own, at:end].mT, lost[:, own], alpha=-1)
        columns[:, end:].baddbmm_(unit[:, start:end, end:].mT, lost[:, start:end], alpha=-1)
    part.copy_(columns.mT)
    return (lost / diagonal).mT


def _root(statistics: LayerStatistics, damping: float) -> tuple[Tensor, Tensor]:
    """Return the damped Hessian's root V, upper `[groups, columns, columns]`, and the dead inputs.

    H = V V^T, so that U = V^-1. The Hessian is scaled to a mean diagonal of 1 first, which changes
    no solution.
    """
    import torch

    hessian = statistics.hessian()
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    dead = diagonal == 0
    alive = (~dead).sum(dim=1, keepdim=True).clamp(min=1)
    mean = diagonal.sum(dim=1, keepdim=True) / alive
    hessian = hessian / torch.where(mean > 0, mean, 1.0).unsqueeze(2)
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    diagonal += dead
    added = 0.0
    for _ in range(_ATTEMPTS):
        diagonal += damping - added
        added = damping
        # If J reverses the order, J H J = L L^T gives V = J L J: H^-1 is never formed.
        lower, failed = torch.linalg.cholesky_ex(hessian.flip(1, 2))
        if not failed.any():
            return lower.flip(1, 2), dead
        damping = max(10 * damping, 1e-6)
    raise ModelError(
        f"the calibration inputs of layer '{statistics.name}' are too degenerate to invert; "
        "give more varied calibration data, or use solver 'wanda'"
    )
