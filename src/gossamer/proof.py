"""Dense and sparse model side by side: what is saved, and what it costs in accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.formats import save_onnx
from gossamer.source import adapter_of, as_onnx, one_inference, sparse_file

if TYPE_CHECKING:
    from gossamer.energy import Comparison
    from gossamer.energy.engines import EngineName
    from gossamer.pruning.result import Scores


@dataclass(frozen=True)
class Proof:
    """What `compare` found.

    Attributes:
        measured: the dense model in ONNX Runtime, then dense and sparse in Gossamer.
        scores: of both models by `evaluate`; None if none was given.
    """

    measured: Comparison
    scores: Scores | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        scores = {**asdict(self.scores), "drop": self.scores.drop} if self.scores else None
        return {**self.measured.to_dict(), "scores": scores}


def compare(
    dense: Any,
    sparse: Any,
    inputs: Any,
    *,
    evaluate: Callable[[Any], Any] | None = None,
    threads: int | None = None,
    min_time: float = 10.0,
    progress: Callable[[float], None] | None = None,
) -> Proof:
    """Measure the dense model in ONNX Runtime, and dense and sparse in Gossamer, in turn.

    Args:
        dense, sparse: what `gossamer.compile` takes. Where these are files, their sizes are
            compared; another model's is that of its ONNX export.
        inputs: what one inference is: arrays by input name, one array, or a tuple in the order of
            the inputs.
        evaluate: from a model (a module, or a session for what is ONNX already) to one number or
            one a sample, higher being better: scores both models.
        threads: of one inference; by default every core that the process may use.
        min_time: seconds of measuring.
        progress: is told the fraction of the measuring done, 0 to 1.

    Raises:
        ModelError: if a model cannot be read, exported or compiled.
        DataError: if the inputs do not fit.
        EvaluationError: if `evaluate` raises or gives no finite number.
        OptionError: if onnxruntime is not installed.
    """
    from gossamer.energy import Candidate, measure

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gossamer-")))
        dense_file = _file(dense, folder / "dense.onnx", inputs)
        sparse_path = _file(sparse, folder / "sparse.onnx", inputs)
        kinds: tuple[tuple[Path, EngineName, str], ...] = (
            (dense_file, "onnxruntime", "dense, ONNX Runtime"),
            (dense_file, "gossamer", "dense, Gossamer"),
            (sparse_path, "gossamer", "sparse, Gossamer"),
        )
        candidates = []
        for path, engine, name in kinds:
            candidate = Candidate.from_file(path, engine=engine, threads=threads, name=name)
            stack.callback(candidate.close)
            candidates.append(candidate)
        feeds = one_inference(as_onnx(dense_file), inputs)
        measured = measure(candidates, feeds, min_time=min_time, progress=progress)
    return Proof(measured, _scores(dense, sparse, evaluate) if evaluate else None)


def _file(model: Any, export: Path, inputs: Any) -> Path:
    """Return the file of a model that is one; else write its ONNX export to `export`."""
    stored = sparse_file(model)
    if stored is not None:
        return stored
    if isinstance(model, str | Path) and Path(model).suffix == ".onnx":
        return Path(model)
    save_onnx(as_onnx(model, inputs), export)
    return export


def _scores(dense: Any, sparse: Any, evaluate: Callable[[Any], Any]) -> Scores:
    from gossamer.pruning.evaluation import compare, score

    return compare(score(evaluate, adapter_of(dense)), score(evaluate, adapter_of(sparse)))
