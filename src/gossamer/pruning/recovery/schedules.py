"""How the learning rate goes: up during the warm-up, then down to nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from gossamer.sparsity.registry import named

Decay = Callable[[float], float]
"""From progress after the warm-up, 0 to 1, to the factor of the peak learning rate."""

SCHEDULES: dict[str, Decay] = {
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "linear": lambda progress: 1 - progress,
    "constant": lambda progress: 1.0,
}


def factor(step: int, steps: int, warmup: float, decay: Decay) -> float:
    """Return the factor of the peak learning rate for a step.

    Args:
        step: from 0.
        steps: of them all.
        warmup: fraction of the steps over which the factor rises evenly.
        decay: of the factor afterwards.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return decay(min((step - rising) / max(steps - rising, 1), 1.0))


def scheduler(
    optimizer: torch.optim.Optimizer, schedule: str, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return torch's scheduler for an optimizer whose learning rates are the peaks.

    Raises:
        OptionError: if there is no such schedule.
    """
    decay = named("schedule", schedule, SCHEDULES)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(step, steps, warmup, decay)
    )
