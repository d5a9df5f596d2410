"""What processes that train one model together must agree on."""

from __future__ import annotations

from torch import Tensor
from torch import distributed as dist


def average_over_ranks(tensor: Tensor) -> Tensor:
    """Return the mean over all processes of the default group; the tensor itself if alone.

    Every process must call it for the same tensors in the same order.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
