"""One process or several that train the same module, each on its share of a mini-batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gossamer.errors import ModelError, OptionError, shown
from gossamer.user_code import describe

# They scatter or rewrite the parameters, which masks need whole.
_UNSUPPORTED = ("FSDP", "DEEPSPEED", "MEGATRON_LM", "XLA")


class Processes:
    """This process, with no other.

    Attributes:
        size: number of processes.
        rank: of this one.
        device: that this process trains on.
    """

    size = 1
    rank = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def prepare(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Wrap what is trained."""
        return module, optimizer

    def backward(self, loss: Tensor) -> None:
        """Give each parameter its gradient, the mean over the processes."""
        with trainable():
            loss.backward()  # type: ignore[no-untyped-call]

    def clip(self, parameters: list[nn.Parameter], norm: float) -> Tensor:
        """Shorten the gradient to a norm; return the norm that it had."""
        return torch.nn.utils.clip_grad_norm_(parameters, norm)

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the processes, without gradient."""
        return tensor.detach()

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes in order of rank; gradients reach the own ones."""
        return rows


@contextmanager
def trainable() -> Iterator[None]:
    """Say of a model through which no gradient goes, in the block, that it cannot be trained.

    Raises:
        ModelError: if it is such a model.
    """
    try:
        yield
    except RuntimeError as error:
        raise ModelError(
            f"the gradient of the sparse model cannot be computed ({describe(error)}); its forward "
            "must not change in place what it computes with, and a mini-batch must fit into memory"
        ) from error


class Distributed(Processes):
    """One of several processes of torch.distributed, as `torchrun` starts them."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.size = dist.get_world_size()
        self.rank = dist.get_rank()

    def prepare(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Wrap the module, whose processes then share their gradients."""
        ids = [self.device] if self.device.type == "cuda" else None
        # A loss on hidden states leaves a head without gradient.
        parallel = nn.parallel.DistributedDataParallel(
            module, device_ids=ids, find_unused_parameters=True
        )
        return parallel, optimizer

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the processes, without gradient."""
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes in order of rank; gradients reach the own ones."""
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.detach().contiguous())
        # Every process computes the whole loss but sends gradients through its own rows alone,
        # and these gradients are then averaged: they must weigh as much as there are processes.
        parts[self.rank] = rows.detach() + self.size * (rows - rows.detach())
        return torch.cat(parts)


class Accelerated(Distributed):
    """One of the processes of an `accelerate.Accelerator`, be it the only one."""

    def __init__(self, accelerator: Any) -> None:
        if not hasattr(accelerator, "distributed_type"):
            raise OptionError(
                f"accelerator is {shown(accelerator)}; give an accelerate.Accelerator"
            )
        Processes.__init__(self, accelerator.device)
        kind = str(accelerator.distributed_type).rpartition(".")[2]
        if kind in _UNSUPPORTED:
            raise OptionError(
                f"the accelerator distributes by {kind}, which does not keep parameters whole; "
                "use one that only splits the data (DDP)"
            )
        if accelerator.gradient_accumulation_steps != 1:
            raise OptionError(
                "the accelerator accumulates gradients over several steps; give one with "
                "gradient_accumulation_steps=1, and batch_size= as wanted"
            )
        self._accelerator = accelerator
        self.size = accelerator.num_processes
        self.rank = accelerator.process_index

    def prepare(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Let the accelerator wrap module and optimizer."""
        from accelerate import DistributedDataParallelKwargs

        own = self._accelerator.ddp_handler
        if own is None:
            self._accelerator.ddp_handler = DistributedDataParallelKwargs(
                find_unused_parameters=True
            )
        try:
            prepared = self._accelerator.prepare(module, optimizer)
        finally:
            self._accelerator.ddp_handler = own
        return prepared[0], prepared[1]

    def backward(self, loss: Tensor) -> None:
        """Give each parameter its gradient, in the accelerator's precision."""
        with trainable():
            self._accelerator.backward(loss)

    def clip(self, parameters: list[nn.Parameter], norm: float) -> Tensor:
        """Shorten the gradient to a norm; return the norm that it had."""
        found: Tensor = self._accelerator.clip_grad_norm_(parameters, norm)
        return found

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the processes, without gradient."""
        return super().mean(tensor) if self.size > 1 else tensor.detach()

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes in order of rank; gradients reach the own ones."""
        return super().gather(rows) if self.size > 1 else rows


@contextmanager
def joined(
    accelerator: Any, device: str | torch.device | None, own: torch.device
) -> Iterator[Processes]:
    """Yield the processes to train with.

    With an accelerator they are its own. Else, if torch.distributed is set up or `torchrun`
    started this process, they are those; a group that is set up here (NCCL on CUDA, gloo
    otherwise) is taken down at the end.

    Args:
        accelerator: an `accelerate.Accelerator`, or None.
        device: to train on; None for the one of the accelerator, or with several processes the
            CUDA device of this one's number, or else `own`.
        own: the module's device.

    Raises:
        OptionError: if the device is none, or both it and an accelerator are given.
    """
    if accelerator is not None:
        if device is not None:
            raise OptionError("accelerator= chooses the device; leave out device=")
        yield Accelerated(accelerator)
        return
    group = dist.is_available() and dist.is_initialized()
    started = dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not group and not started:
        yield Processes(_device(device, own))
        return
    chosen = _device(device, _of_this_process(own))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not group:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Distributed(chosen) if dist.get_world_size() > 1 else Processes(chosen)
    finally:
        if not group:
            dist.destroy_process_group()


def _of_this_process(own: torch.device) -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return own


def _device(device: str | torch.device | None, default: torch.device) -> torch.device:
    try:
        found = default if device is None else torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise OptionError(
            f"device is {shown(device)}, which torch cannot use here; give cpu, or cuda where "
            "there is one"
        ) from error
    return found
