"""The verb `recover`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gossamer import arguments
from gossamer.energy import Spender, Spending
from gossamer.energy.meters import CpuTimeEstimate
from gossamer.errors import OptionError
from gossamer.formats.result_file import read_result
from gossamer.models.adapter import Batch
from gossamer.models.opening import open_model
from gossamer.models.padding import Padding
from gossamer.models.places import find_place
from gossamer.models.pretrained import source_of
from gossamer.models.torch_batches import to_tensors
from gossamer.models.torch_model import TorchModel
from gossamer.models.torch_norms import measured_statistics, replace_statistics
from gossamer.progress import ProgressLike, showing
from gossamer.pruning.evaluation import Evaluate, Evaluation, check_evaluation, compare, score
from gossamer.pruning.masks import Masks
from gossamer.pruning.recovery.checkpoint import Checkpoint
from gossamer.pruning.recovery.distillation import TASK, checked_losses
from gossamer.pruning.recovery.objective import Objective, TaskLoss, probe
from gossamer.pruning.recovery.precision import restore_precision, to_single
from gossamer.pruning.recovery.processes import joined
from gossamer.pruning.recovery.result import RecoveryResult
from gossamer.pruning.recovery.samples import read_samples
from gossamer.pruning.recovery.schedules import SCHEDULES, scheduler
from gossamer.pruning.recovery.training import Feed, State, Training, Watch, shorten, state_of
from gossamer.pruning.result import Scores, SparsifyResult
from gossamer.sparsity.registry import named
from gossamer.user_code import describe

if TYPE_CHECKING:
    from accelerate import Accelerator

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
"""From the parameters to train to their optimizer."""

_MAKES = "a list of parameters to a torch.optim.Optimizer"

# Numbers go into float32.
_LARGEST = float(torch.finfo(torch.float32).max)
_LEARNING_RATE = 5e-4
# Mini-batches that the statistics of batch normalisation are taken from.
_ESTIMATED = 64


def recover(
    sparse: Any,
    dense: Any,
    data: Any,
    *,
    steps: int = 600,
    batch_size: int = 32,
    losses: Mapping[str, float] | None = None,
    task_loss: TaskLoss | None = None,
    temperature: float = 2.0,
    learning_rate: float | None = None,
    optimizer: MakeOptimizer | None = None,
    schedule: str = "cosine",
    warmup: float = 0.1,
    max_grad_norm: float = 1.0,
    evaluate: Evaluate | None = None,
    max_cpu_minutes: float | None = None,
    folder: str | Path | None = None,
    device: str | torch.device | None = None,
    accelerator: Accelerator | None = None,
    seed: int = 0,
    progress: ProgressLike = False,
) -> RecoveryResult:
    """Win back accuracy by training the weights that are left; zeros stay where they are.

    A copy of the sparse module learns to do what the dense one does (distillation), on data
    without labels, or with labels besides. It trains in the mode in which it will run: without
    dropout, and with fixed statistics of batch normalisation, which are taken anew from the
    sparse module first, while its scales and shifts train. Half-precision weights train in
    float32. Parameters that do not require a gradient stay as they are.

    Under `torchrun`, or where torch.distributed is set up, or with an accelerator, every process
    makes the same call, takes its share of each mini-batch and returns the same result.

    Args:
        sparse: an `nn.Module` or what opens to one, see `gossamer.models.open_model`: such as what
            `sparsify` returned, or the folder that it wrote of a Hugging Face model. It stays as it
            is.
        dense: likewise; the model to learn from. It stays as it is.
        data: samples like those that the model will see, some thousands if possible: whatever
            `sparsify` takes as calibration data. Further arrays, such as labels, are for
            `task_loss` alone; those of a DataLoader of `(x, y)` are called "labels" there.
        steps: mini-batches to train on.
        batch_size: samples of a mini-batch, over all processes together.
        losses: weights of the terms by name: "outputs", "logits", "values", "hidden", "blocks",
            "embedding" and "similarities" (see `gossamer.pruning.recovery.distillation`), and
            "task" for `task_loss`, 1 by default. By default "hidden" and "embedding"
            at 1 and "similarities" at 0.05 for an encoder that returns its last hidden state,
            and "outputs" for others.
        task_loss: from what the sparse model returns and the mini-batch (tensors by name, labels
            and all) to a scalar tensor, the mean over the samples.
        temperature: of the distributions that "logits" compares.
        learning_rate: the peak; 5e-4 by default.
        optimizer: from a list of parameters to a `torch.optim.Optimizer` with a learning rate of
            its own; by default AdamW without weight decay, which would pull the few weights that
            are left towards zero.
        schedule: of the learning rate after the warm-up: "cosine", "linear" (both end at 0) or
            "constant".
        warmup: fraction of the steps over which the learning rate rises.
        max_grad_norm: that the gradient is shortened to.
        evaluate: from a module to one number or one a sample, higher is better: the dense, the
            sparse and the recovered model are scored. Give data that `data` does not hold.
        max_cpu_minutes: CPU time that the steps may take, all threads and processes together;
            a few are timed, and fewer are taken if `steps` would take longer.
        folder: for a checkpoint each minute; the same call with the same folder goes on from there.
        device: to train on; the sparse module's own by default, under `torchrun` the CUDA device
            of the process if there is one.
        accelerator: an `accelerate.Accelerator` that is to distribute the training.
        seed: of the order of the samples.
        progress: show how far it is on stderr; see `gossamer.progress.showing`.

    Returns:
        The recovered module and how it came about.

    Raises:
        OptionError: if arguments are out of range or contradict each other, if a model is no
            module or has no zeros, if the folder is of another call, or if the loss becomes NaN.
        ModelError: if a model cannot be read, or the two do not fit each other.
        DataError: if the data is empty, holds NaN or does not fit the models.
        EvaluationError: if `evaluate` or `task_loss` raises or does not give what it must.
        OutputError: if the folder cannot be written.
    """
    steps = arguments.whole("steps", steps, 1)
    batch_size = arguments.whole("batch_size", batch_size, 1)
    seed = arguments.whole("seed", seed, 0)
    temperature = _positive("temperature", temperature)
    max_grad_norm = _positive("max_grad_norm", max_grad_norm)
    if learning_rate is not None:
        learning_rate = _positive("learning_rate", learning_rate)
    if max_cpu_minutes is not None:
        max_cpu_minutes = _positive("max_cpu_minutes", max_cpu_minutes)
    warmup = arguments.number(
        "warmup", warmup, lambda it: 0 <= it <= 1, "a fraction of the steps, 0 to 1"
    )
    check_evaluation("evaluate", evaluate)
    arguments.check_function(
        "task_loss", task_loss, "from what the model returns and the mini-batch to a scalar tensor"
    )
    arguments.check_function("optimizer", optimizer, f"from {_MAKES}")
    if optimizer is not None and learning_rate is not None:
        raise OptionError("optimizer= has a learning rate of its own; leave out learning_rate=")
    named("schedule", schedule, SCHEDULES)
    labelled = task_loss is not None
    wanted = None if losses is None else checked_losses(losses, labelled=labelled)
    student, teacher = _module(sparse, "sparse"), _module(dense, "dense")
    samples = read_samples(data, student.inputs(), labelled=labelled)
    names = samples.inputs
    trained, home = student.copy(), _device_of(student.model)
    example = samples.example()
    scored = None if evaluate is None else score(evaluate, teacher.copy(), example=example)
    before = _compare(scored, evaluate, student.copy(), example)

    with (
        joined(accelerator, device, home) as processes,
        showing(progress if processes.main else None) as bar,
        _in_training(trained.model, processes.device) as module,
        _in_training(teacher.copy().model, processes.device) as fixed,
    ):
        on = processes.device
        spender = Spender(gpu=(on.index or 0) if on.type == "cuda" else None)
        masks = _masks(module)
        feed = Feed(samples, batch_size, seed, processes)
        first = to_tensors(module, feed[0])
        inputs = {name: tensor for name, tensor in first.items() if name in names}
        padding = Padding()
        weights = probe(module, fixed, inputs, wanted, padding)
        if wanted is None and labelled:
            weights[TASK] = 1.0
        objective = Objective(
            module, fixed, weights, task_loss, names, padding, temperature, processes
        )
        made = _optimizer(module, optimizer, learning_rate)
        checkpoint = kept = None
        if folder is not None:
            call = {
                "steps": steps,
                "batch_size": batch_size,
                "losses": weights,
                "temperature": temperature,
                "optimizer": _described(made),
                "schedule": schedule,
                "warmup": warmup,
                "max_grad_norm": max_grad_norm,
                "max_cpu_minutes": max_cpu_minutes,
                "seed": seed,
                "processes": processes.size,
                "data": samples.digest(),
                "sparse model": _digest(module),
                "dense model": _digest(fixed),
            }
            checkpoint = Checkpoint(folder, call, writes=processes.main)
            kept = checkpoint.read()
        state = State(steps)
        if checkpoint is not None and kept is not None:
            try:
                state = state_of(kept)
            except (LookupError, TypeError, ValueError) as error:
                raise checkpoint.broken(error) from error
        if kept is None:
            watch = Watch(processes, state.spent)
            # Whole mini-batches in every process, whose statistics so are the same.
            shown = (to_tensors(module, batch) for batch in feed.whole(_ESTIMATED))
            given = ({name: b[name] for name in names if name in b} for b in shown)
            replace_statistics(module, measured_statistics(module, given))
            watch.read(together=True)
            if max_cpu_minutes is not None:
                shorten(state, max_cpu_minutes, objective, feed, processes)
        learning = scheduler(made, schedule, state.steps, warmup)
        training = Training(
            objective, made, learning, masks, feed, max_grad_norm, processes, checkpoint
        )
        training.run(state, kept, bar)
    module.to(home)
    after = _compare(scored, evaluate, trained, example)
    weights_held = sum(mask.numel() for mask in masks.values())
    return RecoveryResult(
        model=module,
        steps=state.steps,
        requested_steps=steps,
        samples=len(samples),
        batch_size=batch_size,
        epochs=state.steps * batch_size / len(samples),
        losses=weights,
        history=tuple(state.history),
        weights=weights_held,
        zeros=weights_held - sum(int(mask.count_nonzero()) for mask in masks.values()),
        before=before,
        after=after,
        device=str(processes.device),
        processes=processes.size,
        seconds=state.spent.seconds,
        cpu_seconds=state.spent.cpu_seconds,
        energy_spent=_energy(
            spender,
            state,
            sparse,
            whole=kept is None and processes.size == 1,
            gpu=processes.device.type == "cuda",
        ),
        notes=(*samples.notes, *_notes(state.steps, steps, before, after, checkpoint)),
        example={name: array.copy() for name, array in example.items()},
        source=source_of(sparse) or source_of(dense),
    )


def _energy(spender: Spender, state: State, sparse: Any, *, whole: bool, gpu: bool) -> Spending:
    """Return what recovery took; estimated where this process has not seen all of it."""
    spent = spender.spent()
    if not whole:
        estimate = CpuTimeEstimate()
        cpu = max(spent.cpu_seconds, state.spent.cpu_seconds)
        seconds = max(spent.seconds, state.spent.seconds)
        method = (
            f"estimated: busy CPU seconds x {estimate.watts_per_core:.3g} W per core, over all "
            f"processes and interruptions{', without GPUs' if gpu else ''}"
        )
        spent = Spending(estimate.joules(cpu), estimate.kind, method, seconds, cpu)
    earlier = _spent_before(sparse)
    return spent if earlier is None else spent + earlier


def _spent_before(sparse: Any) -> Spending | None:
    """Return what it took to make the sparse model, where that is known."""
    if isinstance(sparse, SparsifyResult | RecoveryResult):
        return sparse.energy_spent
    if not isinstance(sparse, str | Path):
        return None
    place = find_place(sparse)
    return Spending.told(read_result(place.path)) if place.kind == "sparse" else None


def _module(model: Any, which: str) -> TorchModel:
    """Return the adapter of a module, which is all that can be trained."""
    adapter = open_model(model, trainable=True)
    if not isinstance(adapter, TorchModel):
        raise OptionError(
            f"the {which} model is an ONNX model, which cannot be trained; give the PyTorch module "
            "that it was exported from, or a folder that holds a Hugging Face model with weights"
        )
    return adapter


def _device_of(module: nn.Module) -> torch.device:
    found = next(module.parameters(), None)
    return torch.device("cpu") if found is None else found.device


def _masks(module: nn.Module) -> Masks:
    masks = Masks.of_zeros(module)
    if not masks:
        raise OptionError("the sparse model has no zeros to keep; make it sparse with sparsify")
    return masks


@contextmanager
def _in_training(module: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Have a module on a device, in float32 and without a key-value cache, until the block ends."""
    precision = to_single(module)
    module.to(device)
    config = getattr(module, "config", None)
    caches = getattr(config, "use_cache", None)
    if caches:
        config.use_cache = False  # type: ignore[union-attr]
    try:
        yield module
    finally:
        restore_precision(module, precision)
        if caches:
            config.use_cache = True  # type: ignore[union-attr]


def _optimizer(
    module: nn.Module, make: MakeOptimizer | None, learning_rate: float | None
) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise OptionError(
            "no parameter of the sparse model requires a gradient; call requires_grad_() on it"
        )
    if make is not None:
        try:
            made = make(parameters)
        except Exception as error:
            raise OptionError(
                f"optimizer= failed: {describe(error)}; give a function from {_MAKES}"
            ) from error
        if not isinstance(made, torch.optim.Optimizer):
            raise OptionError(
                f"optimizer= returned a {type(made).__name__}; give a function from {_MAKES}"
            )
        return made
    peak = _LEARNING_RATE if learning_rate is None else learning_rate
    return torch.optim.AdamW(parameters, lr=peak, weight_decay=0.0)


def _described(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return an optimizer's class and settings, by which it is known again."""
    plain = (bool, int, float, str, tuple, type(None))
    groups = [
        {key: value for key, value in group.items() if isinstance(value, plain)}
        for group in optimizer.param_groups
    ]
    return [type(optimizer).__name__, *groups]


def _digest(module: nn.Module) -> str:
    """Return a fingerprint of a module's parameters and buffers."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()


def _compare(
    dense: Evaluation | None, evaluate: Evaluate | None, adapter: TorchModel, example: Batch
) -> Scores | None:
    if dense is None or evaluate is None:
        return None
    return compare(dense, score(evaluate, adapter, example=example))


def _notes(
    steps: int,
    wanted: int,
    before: Scores | None,
    after: Scores | None,
    checkpoint: Checkpoint | None,
) -> tuple[str, ...]:
    notes = []
    if checkpoint is not None and checkpoint.trouble is not None:
        notes.append(
            f"The last checkpoint could not be kept ({checkpoint.trouble}): save the model."
        )
    if steps < wanted:
        notes.append(f"The CPU time allowed {steps} of {wanted} steps.")
    if before is not None and after is not None and after.sparse < before.sparse:
        notes.append(
            "The score fell during recovery: try a lower learning rate, or more and other data."
        )
    return tuple(notes)


def _positive(name: str, given: float) -> float:
    return arguments.number(name, given, lambda it: 0 < it <= _LARGEST, "a number above 0")
