"""Winning back the accuracy of a sparse model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.extras import needed_for
from gossamer.progress import ProgressLike

if TYPE_CHECKING:
    import torch

    from gossamer.pruning.recovery import RecoveryResult


@needed_for("recovering")
def recover(
    sparse: Any,
    dense: Any,
    data: Any,
    *,
    steps: int = 600,
    batch_size: int = 32,
    losses: Mapping[str, float] | None = None,
    task_loss: Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor] | None = None,
    learning_rate: float | None = None,
    evaluate: Callable[[Any], Any] | None = None,
    max_cpu_minutes: float | None = None,
    folder: str | Path | None = None,
    progress: ProgressLike = False,
    **training: Any,
) -> RecoveryResult:
    """Win back accuracy by training the weights that are left; zeros stay where they are.

    A copy of the sparse PyTorch module learns to do what the dense one does, on data without
    labels, or with labels besides. Both given models stay as they are.

    Args:
        sparse: an nn.Module or what holds one: the result of `sparsify` or `recover`, a Hugging
            Face directory, the folder that was written of such a model, or FILE.py:FUNCTION.
        dense: likewise: the model to learn from.
        data: samples like those that the model will see, some thousands if possible: whatever
            `sparsify` takes as calibration data, and for `task_loss` further arrays by name.
        steps: mini-batches to train on.
        batch_size: samples of a mini-batch.
        losses: weights of the terms by name; by default "hidden", "embedding" and "similarities"
            for an encoder, "outputs" for other models.
        task_loss: from what the model returns and the mini-batch, labels and all, to a scalar
            tensor.
        learning_rate: the peak; 5e-4 by default.
        evaluate: from a module to one number or one a sample; higher is better. Its scores before
            and after are in the result.
        max_cpu_minutes: CPU time that the steps may take; fewer are taken if they must.
        folder: for checkpoints; the same call goes on where it stopped.
        progress: show how far it is on stderr; see `gossamer.progress.showing`.
        **training: optimizer, schedule, device, accelerator and more; see
            `gossamer.pruning.recovery.recover`, which is this function in full.

    Returns:
        The recovered module and how it came about; see `gossamer.pruning.recovery.RecoveryResult`.

    Raises:
        OptionError: if arguments are out of range or contradict each other, if a model is no
            module or has no zeros, if the folder is of another call, or if the loss becomes NaN.
        ModelError: if a model cannot be read, or the two do not fit each other.
        DataError: if the data is empty, holds NaN or does not fit the models.
        EvaluationError: if `evaluate` or `task_loss` raises or does not give what it must.
        OutputError: if the folder cannot be written.
    """
    from gossamer.pruning import recovery

    return recovery.recover(
        sparse,
        dense,
        data,
        steps=steps,
        batch_size=batch_size,
        losses=losses,
        task_loss=task_loss,
        learning_rate=learning_rate,
        evaluate=evaluate,
        max_cpu_minutes=max_cpu_minutes,
        folder=folder,
        progress=progress,
        **training,
    )
