"""The loss of a mini-batch as one module, so that wrappers see everything that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.errors import EvaluationError, ModelError
from gossamer.models.padding import Padding
from gossamer.models.torch_batches import calibrating, fitting
from gossamer.pruning.recovery.distillation import TASK, TERMS, Setting, default_losses
from gossamer.pruning.recovery.observing import Observer, Seen
from gossamer.pruning.recovery.processes import Processes
from gossamer.user_code import describe

_MINI_BATCH = "a mini-batch of the data"

TaskLoss = Callable[[Any, Mapping[str, Tensor]], Tensor]
"""From what the sparse model returns and the mini-batch, labels and all, to a scalar."""


class Objective(nn.Module):
    """The weighted sum of the terms, for a mini-batch of tensors by name.

    Its parameters are those of the sparse module alone.

    Args:
        sparse: to be trained.
        dense: to be distilled from; on the same device.
        losses: weights by term, see `checked_losses`.
        task_loss: the user's own, weighed by `losses["task"]`.
        inputs: names of what the modules take.
        padding: knows which mask speaks of what the modules show.
        temperature: for terms that compare distributions.
        processes: that share a mini-batch.
    """

    def __init__(
        self,
        sparse: nn.Module,
        dense: nn.Module,
        losses: Mapping[str, float],
        task_loss: TaskLoss | None,
        inputs: Sequence[str],
        padding: Padding,
        temperature: float,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.sparse = sparse
        self._losses = dict(losses)
        self._task_loss = task_loss
        self._inputs = list(inputs)
        self._padding = padding
        self._temperature = temperature
        self._processes = processes
        blocks = "blocks" in losses
        # In a tuple, or wrappers would take the dense module for a part of what is trained.
        self._dense = (dense, Observer(dense, blocks=blocks))
        self._observe = Observer(sparse, blocks=blocks)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and each term by name without its weight and without gradient."""
        inputs = {name: batch[name] for name in self._inputs if name in batch}
        with fitting(_MINI_BATCH, "the sparse model"):
            sparse = self._observe(inputs)
        terms = {}
        if set(self._losses) != {TASK}:
            module, observe = self._dense
            with fitting(_MINI_BATCH, "the dense model"), calibrating(module):
                dense = observe(inputs)
            setting = Setting(
                self._padding,
                batch,
                self._temperature,
                self._processes.mean,
                self._processes.gather,
            )
            for name in self._losses:
                if name != TASK:
                    terms[name] = TERMS[name].loss(sparse, dense, setting)
        if TASK in self._losses:
            assert self._task_loss is not None
            terms[TASK] = _task(self._task_loss, sparse.returned, batch)
        total = torch.stack([self._losses[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}


def probe(
    sparse: nn.Module,
    dense: nn.Module,
    inputs: Mapping[str, Tensor],
    losses: Mapping[str, float] | None,
    padding: Padding,
) -> dict[str, float]:
    """Run both modules, and return the weights of the terms to use.

    Args:
        sparse: as for `Objective`.
        dense: as for `Objective`.
        inputs: of a mini-batch.
        losses: that the user wants, or None for those that suit the dense model.
        padding: learns which mask speaks of what the dense module shows.

    Raises:
        DataError: if a module does not run.
        ModelError: if the models differ in what is to be compared, or show no such thing.
    """
    wanted = None if losses is None else [name for name in losses if name != TASK]
    blocks = wanted is not None and "blocks" in wanted
    shown = []
    for which, module in (("dense", dense), ("sparse", sparse)):
        with fitting(_MINI_BATCH, f"the {which} model"), calibrating(module):
            shown.append(Observer(module, blocks=blocks)(inputs))

    def shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[tuple[int, ...]]]:
        places = Observer(dense, blocks=blocks)(tensors).places()
        return {place: [tuple(tensor.shape)] for place, tensor in places.items()}

    with calibrating(dense):
        padding.learn([inputs], dict, shapes)
    weights = default_losses(shown[0]) if losses is None else dict(losses)
    for name in weights:
        if name == TASK:
            continue
        part = TERMS[name].compares
        theirs, own = (_shapes(seen, part) for seen in shown)
        if not theirs:
            raise ModelError(
                f"the dense model shows no hidden states, which the loss {name!r} compares; "
                "use losses={'outputs': 1.0}"
            )
        if theirs != own:
            raise ModelError(
                f"the loss {name!r} compares {part} of like shapes, but the dense model's are "
                f"{theirs} and the sparse model's {own}; leave it out of losses="
            )
    return weights


def _shapes(seen: Seen, part: str) -> list[tuple[int, ...]]:
    if part == "outputs":
        return [tuple(output.value.shape) for output in seen.outputs]
    if part == "blocks":
        return [tuple(states.shape) for states in seen.blocks]
    return [] if seen.hidden is None else [tuple(seen.hidden.shape)]


def _task(task_loss: TaskLoss, returned: Any, batch: Mapping[str, Tensor]) -> Tensor:
    try:
        loss = task_loss(returned, batch)
    except Exception as error:
        raise EvaluationError(
            f"task_loss failed: {describe(error)}; it is called with what the model returns and "
            f"the mini-batch ({', '.join(batch)})"
        ) from error
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise EvaluationError(
            "task_loss must return one number as a tensor that depends on the model's outputs"
        )
    return loss.reshape(())
