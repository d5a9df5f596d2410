"""Write the golden files of the version at hand: python tests/golden/make.py

They go to a folder of the version's name beside this file. Files of earlier versions stay as they
are: every later version reads them.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import gossamer as gs
import models
from gossamer.cli import main
from gossamer.formats import save, save_onnx
from gossamer.pruning.recovery import checkpoint

# What a call must say again to go on from these folders.
SEARCH = {
    "layers": ".",
    "max_drop": 0.05,
    "objective": "bytes",
    "levels": (0.5, 0.8),
    "search_seconds": 0.1,
    "threads": 1,
}
RECOVERY = {"steps": 8, "batch_size": 16}


def make(folder: Path) -> None:
    """Write every kind of file that Gossamer reads again."""
    folder.mkdir()
    torch.set_num_threads(1)
    save(models.sparse_network(), folder / "module.gossamer.safetensors")
    save(models.sparse_network(), folder / "half.gossamer.safetensors", values="fp16")
    save(models.arrays(), folder / "arrays.gossamer.safetensors")
    save(models.onnx_network(), folder / "onnx.gossamer.safetensors")
    save_onnx(models.onnx_network(), folder / "dense.onnx")
    save_onnx(models.onnx_network(), folder / "sparse.onnx", sparse_initializers=True)

    data = folder / "data.npz"
    np.savez(data, x=models.samples())
    _write_deployment(folder, data)
    _compare(folder, data)
    data.unlink()

    dense = models.perceptron(sparse=False)
    gs.sparsify(
        dense,
        {"input": models.samples()},
        evaluate=models.agreement(dense),
        folder=folder / "job",
        **SEARCH,
    )
    checkpoint.INTERVAL = 0.0
    gs.recover(
        models.perceptron(sparse=True),
        dense,
        {"input": models.samples()},
        folder=folder / "recovery",
        **RECOVERY,
    )


def _write_deployment(folder: Path, data: Path) -> None:
    given = str(folder / "dense.onnx")
    out = str(folder / "deployment")
    _gossamer("sparsify", given, "--calibration", str(data), "--sparsity", "0.8", "--out", out)


def _compare(folder: Path, data: Path) -> None:
    models = str(folder / "dense.onnx"), str(folder / "deployment")
    options = "--inputs", str(data), "--min-time", "0.2", "--max-time", "1", "--threads", "1"
    printed = _gossamer("compare", *models, *options, "--json")
    # Wherever it was made.
    text = json.dumps(json.loads(printed), indent=1).replace(str(folder), "golden")
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")


def _gossamer(*arguments: str) -> str:
    """What a command prints."""
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main(list(arguments))
    return printed.getvalue()


if __name__ == "__main__":
    place = Path(__file__).parent / gs.__version__
    if place.exists():
        shutil.rmtree(place)
    make(place)
