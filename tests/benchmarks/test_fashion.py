"""The benchmark of sparse training, on a few made-up images in the files' own format."""

from __future__ import annotations

import gzip
import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from gossamer.errors import DataError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def fashion() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("fashion")


def write(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes(), 1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fashion")
    random = np.random.default_rng(0)
    for part, count in (("train", 256), ("t10k", 500)):
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write(folder / f"{part}-images-idx3-ubyte.gz", pixels)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        write(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


def test_runs_are_exact_kept_and_not_repeated(
    fashion: ModuleType, data: Path, tmp_path: Path
) -> None:
    out, models = tmp_path / "out.jsonl", tmp_path / "models"
    arguments = ["--data", str(data), "--out", str(out), "--models", str(models), "--epochs", "1"]
    arguments += ["--methods", "magnitude", "logsum+erk", "--sparsity", "0.9", "--seeds", "1"]
    fashion.main(arguments)
    text = out.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["method"] for line in lines] == ["dense", "magnitude", "logsum+erk"]
    assert lines[0]["measured_sparsity"] == 0.0
    for line in lines[1:]:
        assert line["measured_sparsity"] >= 0.9 - 1e-4
        assert 0.8 < line["model_sparsity"] < line["measured_sparsity"]

    model = fashion.load(0, models, "magnitude", 0.9)
    assert model[3].conv1.weight.count_nonzero() <= 0.1 * 2304 + 1
    x, y = fashion.images(data, "t10k")
    assert fashion.accuracy(model, x, y) == pytest.approx(lines[1]["accuracy"], abs=0.005)

    # A line that was cut off is done again; the others are not.
    out.write_text(text[:-20], encoding="utf-8")
    fashion.main(arguments)
    again = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert again[:2] == lines[:2] and len(again) == 3
    assert again[2]["accuracy"] == lines[2]["accuracy"]


def test_the_network_is_as_large_as_is_said(fashion: ModuleType) -> None:
    model = fashion.build()
    assert sum(parameter.numel() for parameter in model.parameters()) == 810_362
    assert fashion.build.__doc__ and "810,362" in fashion.build.__doc__


def test_images_are_shifted_and_mirrored_whole(fashion: ModuleType) -> None:
    images = torch.rand(64, 1, 6, 5)
    found = fashion.augmented(images, torch.Generator().manual_seed(0))
    seen = set()
    for image, result in zip(images[:, 0], found[:, 0], strict=True):
        padded = torch.full((10, 9), -fashion.MEAN / fashion.DEVIATION)
        padded[2:8, 2:7] = image
        matches = [
            (down, right, mirrored)
            for down in range(5)
            for right in range(5)
            for mirrored, window in (
                (False, padded[down : down + 6, right : right + 5]),
                (True, padded[down : down + 6, right : right + 5].flip(1)),
            )
            if torch.equal(result, window)
        ]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) > 20


def test_the_rate_rises_and_falls_to_nothing(fashion: ModuleType) -> None:
    rates = [fashion.rate(step, 100, 10) for step in range(101)]
    assert rates[9] == rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0.0)


def test_missing_and_broken_data_are_named(
    fashion: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fashion.main(["--data", str(tmp_path), "--out", str(tmp_path / "out.jsonl")])
    assert "dataset-fashion-mnist" in capsys.readouterr().err
    short = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]))
    for content in (short, short[:-4], b"", b"text", gzip.compress(b"")):
        (tmp_path / "broken.gz").write_bytes(content)
        with pytest.raises(DataError, match="not an idx file"):
            fashion.idx(tmp_path / "broken.gz")
    with pytest.raises(DataError, match="is missing"):
        fashion.load(0, tmp_path)
