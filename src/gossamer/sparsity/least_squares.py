"""The layer that comes nearest to its targets: least squares over the weights that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.sparsity.statistics import LayerStatistics

DAMPING = 0.03
# How far the targets are trusted against what the dense weight makes of the same inputs.
TRUST = 0.6
STEPS = 15
# Of the mean energy of inputs: what is below it is rounding.
_NOTHING = 1e-10


class LeastSquares(NamedTuple):
    """The layers of least `t |X W^T - Y|^2 + (1 - t) |X (W - W_0)^T|^2 + d |W - W_0|^2`.

    X are the calibration inputs, Y the targets and W_0 the dense weight. The trust t is below 1 and
    the damping d above 0 because few calibration data are soon learnt by heart. Columns are scaled
    to a Hessian with ones on its diagonal, as in ALPS (Meng et al. 2024, section 3.3); `scale`
    turns weights into these units. Where the layer has a bias and there are targets, the bias is
    solved for too: X and Y are then taken from their means, and `offset` says what it becomes.

    Attributes:
        hessian: `X^T X + d`, `[groups, columns, columns]`.
        products: `t Y^T X + (1 - t) W_0 X^T X + d W_0`, `[groups, rows, columns]`.
        scale: `[groups, 1, columns]`; a weight times it is in these units.
        dead: inputs that are zero (or, beside a bias, the same) throughout, `[groups, columns]`.
        means: of inputs and of what the objective has for targets, `[groups, 1, columns or rows]`;
            None if there is no bias to solve for.
    """

    hessian: Tensor
    products: Tensor
    scale: Tensor
    dead: Tensor
    means: tuple[Tensor, Tensor] | None = None

    def offset(self, weight: Tensor) -> Tensor | None:
        """Return what is to be added to the bias beside a scaled weight, `[rows]`; or None."""
        if self.means is None:
            return None
        inputs, outputs = self.means
        return (outputs - (inputs / self.scale) @ weight.mT).reshape(-1)

    def scaled(self, weight: Tensor) -> Tensor:
        """Return a weight `[rows, columns]` in units of the problem, `[groups, ...]`."""
        groups, columns = self.scale.shape[0], weight.shape[1]
        return weight.reshape(groups, -1, columns) * self.scale

    def unscaled(self, weight: Tensor) -> Tensor:
        """Return the weight `[rows, columns]` of one in units of the problem."""
        return (weight / self.scale).reshape(-1, weight.shape[2])

    def error(self, weight: Tensor) -> float:
        """Return the objective of a scaled weight, but for what no weight changes."""
        return float(((weight @ self.hessian - 2 * self.products) * weight).sum())

    def inverse(self, added: float) -> Tensor:
        """Return the inverse of the Hessian with `added`, more than 0, on its diagonal of ones."""
        import torch

        hessian = self.hessian.clone()
        hessian.diagonal(dim1=1, dim2=2).add_(added)
        return torch.cholesky_inverse(torch.linalg.cholesky(hessian))

    def refitted(self, weight: Tensor, mask: Tensor, steps: int = STEPS) -> Tensor:
        """Return the best weights on a support, by conjugate gradients for all rows at once.

        Hestenes, Stiefel 1952; projected onto the support as in ALPS (Meng et al. 2024, algorithm
        2). The columns' scale is the preconditioner.

        Args:
            weight: scaled `[groups, rows, columns]`, zero off the support: where to start.
            mask: boolean of the same shape; False stays zero.
            steps: at most; fifteen come within a thousandth of the least error.
        """
        tiny = 1e-30
        residual = (self.products - weight @ self.hessian) * mask
        direction = residual
        size = residual.square().sum(dim=2, keepdim=True)
        for _ in range(steps):
            image = (direction @ self.hessian) * mask
            curvature = (direction * image).sum(dim=2, keepdim=True)
            length = size / curvature.clamp(min=tiny)
            weight = weight + length * direction
            residual = residual - length * image
            before, size = size, residual.square().sum(dim=2, keepdim=True)
            direction = residual + size / before.clamp(min=tiny) * direction
        return weight


def least_squares(
    weight: Tensor, statistics: LayerStatistics, damping: float = DAMPING
) -> LeastSquares:
    """Return the problem of a layer.

    Its targets are those of the statistics, or what the dense weight makes of the same inputs.
    Inputs that were zero throughout calibration leave their weights as they are.

    Args:
        weight: dense, `[rows, columns]`.
        statistics: with the Hessian.
        damping: as a fraction of the mean of the Hessian's diagonal.
    """
    import torch

    groups, columns = statistics.groups, weight.shape[1]
    dense = weight.reshape(groups, -1, columns).double()
    hessian = statistics.hessian()
    mean = hessian.diagonal(dim1=1, dim2=2).mean(dim=1)
    added = damping * torch.where(mean > 0, mean, 1.0)[:, None, None]
    products = dense @ hessian
    means = None
    if statistics.targeted:
        products.lerp_(statistics.products(), TRUST)
        if statistics.bias:
            inputs, outputs = (total / statistics.count for total in statistics.sums())
            outputs = torch.lerp(inputs @ dense.mT, outputs, TRUST)
            hessian = hessian - statistics.count * (inputs.mT @ inputs)
            products -= statistics.count * (outputs.mT @ inputs)
            means = inputs.to(weight), outputs.to(weight)
    products += added * dense
    energy = hessian.diagonal(dim1=1, dim2=2)
    dead = energy <= _NOTHING * mean.unsqueeze(1)
    scale = (energy.unsqueeze(1).clamp(min=0.0) + added).sqrt()
    hessian = hessian / scale / scale.mT
    hessian.diagonal(dim1=1, dim2=2).fill_(1.0)
    return LeastSquares(
        hessian.to(weight), (products / scale).to(weight), scale.to(weight), dead, means
    )
