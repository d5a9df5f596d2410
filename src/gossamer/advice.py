"""What each sparsity would save here, by timing, before anything is pruned.

The smallest weights of the layers that `sparsify` would prune are set to zero, without any regard
to accuracy, and each such model is compiled and timed in turn with the dense one in ONNX Runtime.
Where the zeros fall hardly matters for speed, so the times are those of a model pruned with care to
the same sparsity.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from gossamer.errors import OptionError
from gossamer.formats import save, save_onnx
from gossamer.models.onnx_layers import find_layers, read, write
from gossamer.models.selection import choose_layers
from gossamer.source import as_onnx, one_inference

if TYPE_CHECKING:
    from gossamer.energy import CandidateResult, Comparison

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Advice:
    """What was timed, and what it means.

    Attributes:
        comparison: first the dense model in ONNX Runtime, then in Gossamer, then each sparsity.
        sparsities: of the candidates after the second, over the pruned layers.
        prunable_weights: in the layers that would be pruned.
    """

    comparison: Comparison
    sparsities: tuple[float, ...]
    prunable_weights: int

    @property
    def sparse(self) -> tuple[tuple[float, CandidateResult], ...]:
        """Each sparsity with its figures."""
        return tuple(zip(self.sparsities, self.comparison.candidates[2:], strict=True))

    @property
    def verdict(self) -> str:
        """One sentence: from which sparsity on the model gains here, or that it does not."""
        for sparsity, found in self.sparse:
            if found.gains is not None and (found.speed_verdict or "").find("faster") > 0:
                return (
                    f"From a sparsity of {sparsity:g} on this model is faster here than dense in "
                    f"ONNX Runtime: {found.speed_verdict}."
                )
        return (
            "No gain: at none of these sparsities is this model faster here than dense in ONNX "
            "Runtime."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "verdict": self.verdict,
            "prunable_weights": self.prunable_weights,
            "sparsities": list(self.sparsities),
            **self.comparison.to_dict(),
        }


def advise(
    model: Any,
    example_inputs: Any = None,
    *,
    sparsities: Sequence[float] = SPARSITIES,
    threads: int | None = None,
    min_time: float = 10.0,
    progress: Callable[[float], None] | None = None,
) -> Advice:
    """Time what each sparsity would save on this machine, before any pruning.

    Args:
        model: what `gossamer.compile` takes.
        example_inputs: what one inference is: arrays by input name, one array, or a tuple in the
            order of the inputs. By default one sample of 128 tokens or 224 x 224 pixels.
        sparsities: to try, each above 0 and below 1, over the layers that `sparsify` would prune.
        threads: of one inference; by default every core that the process may use.
        min_time: seconds of measuring.
        progress: is told the fraction of the measuring done, 0 to 1.

    Raises:
        OptionError: if a sparsity is out of range, or onnxruntime is not installed.
        ModelError: if the model cannot be read, or has no layers to prune.
        DataError: if the example is needed and missing, or does not fit.
    """
    from gossamer.energy import Candidate, measure

    chosen = sorted(set(sparsities))
    if not chosen or not all(0 < sparsity < 1 for sparsity in chosen):
        raise OptionError(f"sparsities={list(sparsities)} must be numbers between 0 and 1")
    graph = as_onnx(model, example_inputs)
    feeds = one_inference(graph, example_inputs)
    weights = sum(
        layer.weights
        for layer in choose_layers([found.layer for found in find_layers(graph)], None)
    )
    with tempfile.TemporaryDirectory(prefix="gossamer-") as name:
        folder = Path(name)
        dense = folder / "dense.onnx"
        save_onnx(graph, dense)
        candidates = [
            Candidate.from_file(dense, threads=threads, name="dense, ONNX Runtime"),
            Candidate.from_file(dense, engine="gossamer", threads=threads, name="dense, Gossamer"),
        ]
        for sparsity in chosen:
            path = folder / f"{sparsity}.gossamer.safetensors"
            save(prune_graph(graph, sparsity), path)
            candidates.append(
                Candidate.from_file(
                    path, engine="gossamer", threads=threads, name=f"{100 * sparsity:g} % sparse"
                )
            )
        try:
            found = measure(candidates, feeds, min_time=min_time, progress=progress)
        finally:
            for candidate in candidates:
                candidate.close()
    return Advice(found, tuple(chosen), weights)


def prune_graph(model: onnx.ModelProto, sparsity: float) -> onnx.ModelProto:
    """Return a copy of `model` with the smallest weights of each layer set to zero.

    For timing only: nothing makes up for what is removed. The layers are those that `sparsify`
    prunes by default.

    Args:
        model: the model, its external data loaded.
        sparsity: fraction of each layer's weights to remove, 0 to 1.

    Raises:
        ModelError: if the model has no layers to prune.
    """
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    found = find_layers(pruned)
    chosen = {layer.name for layer in choose_layers([one.layer for one in found], None)}
    for one in found:
        if one.layer.name in chosen:
            weights = read(one.tensor).reshape(-1).copy()
            order = np.argsort(np.abs(weights), kind="stable")
            weights[order[: round(sparsity * weights.size)]] = 0
            write(one.tensor, weights)
    return pruned
