"""The loop of recovery: step after step, with checkpoints, in one process or several."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.errors import DataError, OptionError
from gossamer.models.adapter import Batch
from gossamer.models.torch_batches import to_tensors
from gossamer.progress import Progress
from gossamer.pruning.masks import Masks
from gossamer.pruning.recovery.checkpoint import Checkpoint
from gossamer.pruning.recovery.objective import Objective
from gossamer.pruning.recovery.processes import Processes, trainable
from gossamer.pruning.recovery.samples import Samples

# Points that the history of the losses keeps at most.
_POINTS = 200
# Mini-batches that tell how long a step takes; the first is only warm-up.
_TIMED = 4
# Of the allowed time: what is left over pays for the optimizer and for mini-batches that take
# longer than those that were timed.
_MARGIN = 0.92


@dataclass
class Spent:
    """What a recovery has cost so far, over all processes and interruptions.

    Attributes:
        seconds: of wall time.
        cpu_seconds: of all threads and processes together.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass
class State:
    """How far the training is.

    Attributes:
        step: number of steps taken.
        steps: of them all.
        spent: on the steps that were taken.
        history: means over a few steps each: `step`, `learning_rate`, `loss` and each term.
    """

    steps: int
    step: int = 0
    spent: Spent = field(default_factory=Spent)
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0

    def note(self, losses: dict[str, float], learning_rate: float) -> None:
        """Note a step's losses; at most some 200 means are kept."""
        self.step += 1
        self.summed += 1
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + loss
        if self.summed >= -(-self.steps // _POINTS) or self.step == self.steps:
            means = {name: total / self.summed for name, total in self.sums.items()}
            self.history.append({"step": self.step, "learning_rate": learning_rate, **means})
            self.sums, self.summed = {}, 0


class Feed:
    """The mini-batches, each cut to this process's share.

    Args:
        samples: to draw from.
        size: of a mini-batch, over all processes.
        seed: of the order.
        processes: that share it.

    Raises:
        OptionError: if they cannot share it evenly.
        DataError: if some have too few samples of one shape.
    """

    def __init__(self, samples: Samples, size: int, seed: int, processes: Processes) -> None:
        self._samples = samples
        self._size = size
        self._seed = seed
        self._processes = processes
        self._epoch = 0
        self._batches = samples.mini_batches(size, seed, 0)
        if size % processes.size:
            raise OptionError(
                f"batch_size is {size}, which {processes.size} processes cannot share evenly; "
                f"give a multiple of {processes.size}"
            )
        if min(len(rows) for _, rows in self._batches) < processes.size:
            raise DataError(
                f"some samples have a shape that fewer than {processes.size} of them share, too "
                "few for the processes; bring the data to one shape, or add some"
            )

    def __getitem__(self, step: int) -> Batch:
        """Return the mini-batch of a step, from 0."""
        epoch, index = divmod(step, len(self._batches))
        if epoch != self._epoch:
            self._batches = self._samples.mini_batches(self._size, self._seed, epoch)
            self._epoch = epoch
        return self._share(self._samples.take(*self._batches[index]))

    def whole(self, count: int) -> Iterator[Batch]:
        """Yield up to `count` mini-batches of the first epoch, not cut, of two samples at least."""
        for group, rows in self._samples.mini_batches(self._size, self._seed, 0)[:count]:
            if len(rows) > 1:
                yield self._samples.take(group, rows)

    def _share(self, batch: Batch) -> Batch:
        if self._processes.size == 1:
            return batch
        # Shares must be equal: gradients are averaged over the processes.
        share = len(next(iter(batch.values()))) // self._processes.size
        start = self._processes.rank * share
        return {name: array[start : start + share] for name, array in batch.items()}


class Training:
    """One sparse module and what trains it.

    Args:
        objective: that holds the module.
        optimizer: of its parameters.
        scheduler: of the optimizer.
        masks: of the weights that stay zero.
        feed: of mini-batches.
        max_grad_norm: that gradients are clipped to.
        processes: that train together.
        checkpoint: or None.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        masks: Masks,
        feed: Feed,
        max_grad_norm: float,
        processes: Processes,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._objective = objective
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._masks = masks
        self._feed = feed
        self._max_grad_norm = max_grad_norm
        self._processes = processes
        self._checkpoint = checkpoint

    def run(self, state: State, kept: dict[str, Any] | None, progress: Progress) -> None:
        """Train to the end.

        Args:
            state: to go on from; it is kept up to date.
            kept: the rest of a checkpoint's state, or None at the start.
            progress: is told of each step.

        Raises:
            DataError: if the checkpoint's state is broken.
            OptionError: if the loss or its gradient is NaN or infinite.
        """
        sparse = self._objective.sparse
        if kept is not None:
            self._restore(kept)
        hold = self._masks.hold(sparse, self._optimizer)
        module, optimizer = self._processes.prepare(self._objective, self._optimizer)
        progress.start("recovering", state.steps)
        for _ in range(state.step):
            progress.advance()
        watch = Watch(self._processes, state.spent)
        try:
            while state.step < state.steps:
                batch = to_tensors(sparse, self._feed[state.step])
                optimizer.zero_grad()
                loss, terms = module(batch)
                self._processes.backward(loss)
                norm = self._processes.clip(list(_trained(sparse)), self._max_grad_norm)
                found = torch.stack([loss.detach(), *terms.values()])
                losses = self._processes.mean(found).tolist()
                self._check(state, losses[0], norm)
                optimizer.step()
                rate = float(self._optimizer.param_groups[0]["lr"])
                self._scheduler.step()
                state.note(dict(zip(("loss", *terms), losses, strict=True)), rate)
                progress.advance()
                if self._checkpoint is not None and self._checkpoint.is_due():
                    watch.read()
                    self._keep(state)
            watch.read(together=True)
            if self._checkpoint is not None and state.step == state.steps:
                self._keep(state)
        finally:
            hold.remove()
            optimizer.zero_grad()

    def _check(self, state: State, loss: float, norm: Tensor) -> None:
        """Stop before a step that would spoil the weights."""
        if torch.isfinite(norm) and abs(loss) < float("inf"):
            return
        message = (
            f"the loss or its gradient is NaN or infinite at step {state.step + 1} of "
            f"{state.steps}; give a lower learning rate, or leave out of losses= what overflows"
        )
        if self._checkpoint is not None:
            self._keep(state)
            if self._checkpoint.trouble is None:
                message += f" (the weights before this step are in {self._checkpoint.path})"
        raise OptionError(message)

    def _keep(self, state: State) -> None:
        assert self._checkpoint is not None
        random = {"cpu": torch.get_rng_state()}
        if self._processes.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self._processes.device)
        self._checkpoint.write(
            {
                "model": self._objective.sparse.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scheduler": self._scheduler.state_dict(),
                "random": random,
                **progress_of(state),
            }
        )

    def _restore(self, kept: dict[str, Any]) -> None:
        assert self._checkpoint is not None
        try:
            self._objective.sparse.load_state_dict(kept["model"])
            self._optimizer.load_state_dict(kept["optimizer"])
            self._scheduler.load_state_dict(kept["scheduler"])
            torch.set_rng_state(kept["random"]["cpu"])
            # A checkpoint of a run without a GPU has no state of one.
            if self._processes.device.type == "cuda" and "cuda" in kept["random"]:
                torch.cuda.set_rng_state(kept["random"]["cuda"], self._processes.device)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise self._checkpoint.broken(error) from error


class Watch:
    """Adds what passes from its making on to what was spent before.

    Args:
        processes: whose CPU seconds count.
        spent: is kept up to date by `read`.
    """

    def __init__(self, processes: Processes, spent: Spent) -> None:
        self._processes = processes
        self._spent = spent
        self._before = Spent(spent.seconds, spent.cpu_seconds)
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self, *, together: bool = False) -> None:
        """Bring what was spent up to date.

        Args:
            together: whether all processes read now; else the others are taken to have used as
                much as this one.
        """
        cpu = time.process_time() - self._cpu
        if together:
            cpu = float(self._processes.mean(torch.tensor(cpu, device=self._processes.device)))
        self._spent.seconds = self._before.seconds + time.perf_counter() - self._wall
        self._spent.cpu_seconds = self._before.cpu_seconds + cpu * self._processes.size


def shorten(
    state: State, cpu_minutes: float, objective: Objective, feed: Feed, processes: Processes
) -> None:
    """Take fewer steps if they would take longer than a time allows, but at least one.

    A few mini-batches are run forth and back and timed; the weights stay as they are.
    """
    watch = Watch(processes, state.spent)
    taken = []
    for step in range(min(_TIMED, state.steps)):
        started = time.process_time()
        loss, _ = objective(to_tensors(objective.sparse, feed[step]))
        with trainable():
            loss.backward()
        objective.zero_grad()
        taken.append(time.process_time() - started)
    watch.read(together=True)
    own = torch.tensor(statistics.fmean(taken[1:] or taken), device=processes.device)
    each = max(processes.size * float(processes.mean(own)), 1e-9)
    left = 60 * cpu_minutes - state.spent.cpu_seconds
    state.steps = max(1, int(min(state.steps, _MARGIN * left / each)))


def progress_of(state: State) -> dict[str, Any]:
    """Return a state as plain numbers, lists and dictionaries."""
    return {
        "steps": state.steps,
        "step": state.step,
        "seconds": state.spent.seconds,
        "cpu_seconds": state.spent.cpu_seconds,
        "history": state.history,
        "sums": state.sums,
        "summed": state.summed,
    }


def state_of(kept: dict[str, Any]) -> State:
    """Return the state that `progress_of` wrote down.

    Raises:
        LookupError, TypeError, ValueError: if it did not write this.
    """
    return State(
        steps=int(kept["steps"]),
        step=int(kept["step"]),
        spent=Spent(float(kept["seconds"]), float(kept["cpu_seconds"])),
        history=list(kept["history"]),
        sums=dict(kept["sums"]),
        summed=int(kept["summed"]),
    )


def _trained(module: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in module.parameters() if parameter.requires_grad)
