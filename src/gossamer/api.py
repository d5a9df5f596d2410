"""The public verbs, which are what `import gossamer as gs` offers; each is thin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer import exports, formats
from gossamer.advice import advise
from gossamer.extras import needed_for
from gossamer.files import as_path, is_folder
from gossamer.inspection import inspect
from gossamer.models.source import as_onnx, onnx_file, refuse_axes, sparse_file
from gossamer.progress import ProgressLike
from gossamer.proof import compare

if TYPE_CHECKING:
    import torch

    from gossamer.formats import SparseFile
    from gossamer.models.adapter import AxisNames
    from gossamer.pruning import SparsifyResult
    from gossamer.pruning.recovery import RecoveryResult
    from gossamer.runtime import Session

__all__ = [
    "advise",
    "compare",
    "compile",
    "export",
    "inspect",
    "load",
    "recover",
    "save",
    "sparsify",
]


@needed_for("sparsifying")
def sparsify(
    model: Any,
    calibration: Any = None,
    *,
    sparsity: float | None = None,
    budget: float | None = None,
    objective: str = "energy",
    allocation: str | None = None,
    evaluate: Callable[[Any], Any] | None = None,
    max_drop: float | None = None,
    final_evaluate: Callable[[Any], Any] | None = None,
    solver: str = "admm",
    pattern: str | Sequence[str] = "unstructured",
    layers: str | Iterable[str] | None = None,
    threads: int | None = None,
    folder: str | Path | None = None,
    levels: Sequence[float] | None = None,
    search_seconds: float | None = None,
    progress: ProgressLike = False,
) -> SparsifyResult:
    """Remove weights from a trained model; the given one stays as it is.

    One of three says how many: `sparsity`; `budget`; or `evaluate` and `max_drop`, with which the
    cheapest model whose score is within the drop is searched for.

    Args:
        model: what `gossamer.compile` takes.
        calibration: a few hundred unlabelled samples: arrays by input name (first axis: samples),
            an .npz file of such, FILE.py:FUNCTION, or an iterable of batches. The solver
            "magnitude" does without.
        sparsity: fraction of the pruned layers' weights to remove, 0 to 1.
        budget: fraction of the dense model's cost that may remain, above 0 and at most 1.
        objective: what a budget or a search is to save: "energy", "latency", "bytes" or
            "sparsity". The first two are measured on this machine.
        allocation: "uniform", "erk", "global", "sensitivity" or "cost". By default "uniform" for a
            stated sparsity, else "cost".
        evaluate: from the model, called as the given one is, to one number or one a sample; higher
            is better.
        max_drop: how far the mean may fall below the dense model's, in its own unit; with one
            score a sample, what the upper end of the drop's 95 % interval must not exceed.
        final_evaluate: like `evaluate`, on data that the search does not use.
        solver: "admm", which loses least; "obs", "wanda" or "magnitude", which are quicker.
        pattern: "unstructured"; "block:4x1", where four neighbouring outputs keep the same inputs
            (any "block:RxC"); "2:4", where of every four inputs two stay (any n:m); or "channel".
            Of several, allocation "cost" gives each layer the best.
        layers: a regular expression or the names of the layers to prune; None for the usual ones.
        threads: of one inference, for the objective "latency"; by default every core.
        folder: keeps what was worked out, so that the same call goes on after an interruption.
        levels: sparsities at which "sensitivity" and "cost" solve layers beforehand.
        search_seconds: that "cost" looks for the best mix of levels, each time.
        progress: show how far it is on stderr; see `gossamer.progress.showing`.

    Returns:
        The sparse model and how it came about; see `gossamer.pruning.SparsifyResult`.

    Raises:
        OptionError: if arguments are out of range or contradict each other, a budget cannot be
            met, or the folder holds another job.
        ModelError: if the model cannot be read or compiled, or has weights that are NaN.
        DataError: if the calibration data is empty, holds NaN or does not fit the model.
        EvaluationError: if an evaluation raises or gives no finite number.
        OutputError: if the folder cannot be written.
    """
    from gossamer import pruning

    return pruning.sparsify(
        model,
        calibration,
        sparsity=sparsity,
        budget=budget,
        objective=objective,
        allocation=allocation,
        evaluate=evaluate,
        max_drop=max_drop,
        final_evaluate=final_evaluate,
        solver=solver,
        pattern=pattern,
        layers=layers,
        threads=threads,
        folder=folder,
        levels=levels,
        search_seconds=search_seconds,
        progress=progress,
    )


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


@needed_for("compiling this model")
def compile(
    model: Any,
    example_inputs: Any = None,
    *,
    dynamic_axes: AxisNames | None = None,
    threads: int | None = None,
) -> Session:
    """Compile a model to native code for this processor.

    Args:
        model: an nn.Module; an onnx.ModelProto or its bytes; what `sparsify` or `recover` returned;
            or as text or path an .onnx file, a sparse Gossamer file that carries its graph, a
            folder that Gossamer wrote, a Hugging Face directory, a .pt2 file of torch.export.save,
            or FILE.py:FUNCTION that returns an nn.Module.
        example_inputs: for a model that is not ONNX yet: inputs to trace it with, as arrays or
            tensors by name, one array or a tuple in the order of the arguments. A transformers text
            model needs none, nor does a result that saw data.
        dynamic_axes: for such a model: the axes that may have any size, and no others, such as
            {"x": {0: "batch", 1: "time"}}; axes of one name have one size. By default the first
            axis of every input and the second of token inputs, where the model runs with other
            sizes there.
        threads: to run with; by default every core that the process may use.

    Returns:
        A session: `run(None, {name: array})` as in onnxruntime.InferenceSession.

    Raises:
        OptionError: if `dynamic_axes` names an axis that cannot be open, or the model is ONNX.
        ModelError: if the model cannot be read, exported or compiled.
        DataError: if the model must be traced and the example is missing or does not fit.
    """
    from gossamer import runtime

    stored = sparse_file(model)
    if stored is not None:
        refuse_axes(dynamic_axes)
        graph, weights = load(stored).onnx_parts()
        return runtime.compile(graph, weights=weights, threads=threads)
    file = onnx_file(model)
    if file is not None:
        refuse_axes(dynamic_axes)
        # Read by the runtime itself, which holds no weight twice.
        return runtime.compile(file, threads=threads)
    return runtime.compile(as_onnx(model, example_inputs, dynamic_axes), threads=threads)


def load(path: str | Path) -> SparseFile:
    """Read a sparse file and check all of it.

    Args:
        path: of the file, or of a folder that Gossamer wrote.

    Returns:
        The file, whose tensors stay encoded until they are asked for: `state_dict()`, `arrays()`,
        `onnx()`.

    Raises:
        ModelError: if the file is missing, truncated, damaged or tampered with, of an unknown
            version, or not written by Gossamer.
    """
    # Whatever a file is called, it may be a sparse one.
    inside = sparse_file(path) if is_folder(as_path(path)) else None
    return formats.load(inside or path)


export = needed_for("exporting this model")(exports.export)
save = needed_for("saving this model")(exports.save)
