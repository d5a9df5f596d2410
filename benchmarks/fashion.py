"""What sparse training costs a small residual network in accuracy on Fashion-MNIST.

    apt-get install dataset-fashion-mnist
    python benchmarks/fashion.py --out fashion.jsonl --methods magnitude rigl logsum movement \\
        --sparsity 0.9 0.95 --seeds 3

A method is one of Gossamer's, or METHOD+ALLOCATION where the allocation is not its own (such as
magnitude+erk). Each trains from the start for as many epochs as the dense network, with the same
optimizer, schedule and augmentation; a seed sets the initial weights, the order and the
augmentation. The sparsity is that of the pruned layers: all but the first convolution and the
classifier. The accuracy is that of the last epoch on the 10,000 test images, in float32; no choice
is made on them. Training multiplies in bfloat16 (autocast), which is quick on processors that can.

One JSON line a run goes to --out; runs whose lines are there already are not repeated, so that an
interrupted benchmark goes on where it was. With --models the weights of every run are kept; `load`
reads them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from gossamer import Sparsifier
from gossamer.energy import environment
from gossamer.errors import DataError, GossamerError
from gossamer.files import atomic_path
from gossamer.models import open_model
from gossamer.models.selection import choose_layers

DATA = Path("/usr/share/datasets/fashion-mnist")
EPOCHS = 16
BATCH = 128
RATE = 0.1
DECAY = 5e-4
SHIFT = 2
# Mean and standard deviation of the training images' pixels, 0 to 1.
MEAN, DEVIATION = 0.2860, 0.3530


@dataclass(frozen=True)
class Run:
    """What makes a line unlike all others."""

    method: str
    pattern: str
    sparsity: float
    seed: int
    epochs: int

    @property
    def file(self) -> str:
        """Where the weights are kept."""
        pattern = self.pattern.replace(":", "-")
        return f"fashion-{self.method}-{pattern}-{self.sparsity:g}-{self.seed}.safetensors"


class Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.past(x))


def build(widths: Sequence[int] = (16, 64, 256)) -> nn.Module:
    """The network: 810,362 weights and 15.4 million multiply-adds an image `[1, 28, 28]`."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, widths[0], 5, 2, 2, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    inputs = widths[0]
    for stage, outputs in enumerate(widths):
        layers.append(Block(inputs, outputs, stride=2 if stage else 1))
        inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)]
    return nn.Sequential(*layers)


def load(
    seed: int,
    models: Path,
    method: str = "dense",
    sparsity: float = 0.0,
    pattern: str = "unstructured",
) -> nn.Module:
    """The network that `--models` kept of a run, in eval mode."""
    path = models / Run(method, pattern, sparsity, seed, EPOCHS).file
    if not path.exists():
        raise DataError(f"{path} is missing; benchmarks/fashion.py --models {models} makes it")
    model = build()
    model.load_state_dict(load_file(path))
    return model.eval()


def images(data: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images `[n, 1, 28, 28]`, normalised, and labels `[n]` of the part "train" or "t10k"."""
    pixels = idx(data / f"{part}-images-idx3-ubyte.gz")
    labels = idx(data / f"{part}-labels-idx1-ubyte.gz")
    scaled = (torch.from_numpy(pixels).float() / 255 - MEAN) / DEVIATION
    return scaled.unsqueeze(1), torch.from_numpy(labels).long()


def idx(path: Path) -> np.ndarray[Any, Any]:
    """The array of bytes in an idx file: zeros, type and rank, then the axes, then the values."""
    if not path.exists():
        raise DataError(
            f"{path} is missing; Debian's package dataset-fashion-mnist brings it, or name the "
            "folder with --data"
        )
    try:
        content = gzip.decompress(path.read_bytes())
        rank = content[3]
        shape = np.frombuffer(content, ">i4", rank, offset=4)
        whole = len(content) == 4 + 4 * rank + math.prod(shape.tolist())
    except (OSError, EOFError, ValueError, IndexError, zlib.error):
        whole = False
    if not whole or content[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an idx file of bytes; take the original")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def augmented(batch: Tensor, random: torch.Generator) -> Tensor:
    """Images `[n, 1, h, w]` shifted by up to two pixels, half of them mirrored."""
    count, _, height, width = batch.shape
    black = -MEAN / DEVIATION
    padded = functional.pad(batch, (SHIFT,) * 4, value=black)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(2 * SHIFT + 1, (2, count), generator=random)
    shifted = windows[torch.arange(count), :, down, right]
    mirror = torch.rand(count, generator=random) < 0.5
    return torch.where(mirror[:, None, None, None], shifted.flip(3), shifted)


def rate(step: int, steps: int, warm_up: int) -> float:
    """The learning rate as a fraction of its peak: a linear start, then half a cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def made(method: str, pattern: str, sparsity: float, steps: int) -> Sparsifier:
    """The sparsifier of a method, or of METHOD+ALLOCATION."""
    name, _, allocation = method.partition("+")
    return Sparsifier(
        sparsity, steps=steps, method=name, pattern=pattern, allocation=allocation or None
    )


def train(run: Run, x: Tensor, y: Tensor) -> nn.Module:
    """Train one network; its zeros are exact."""
    torch.manual_seed(run.seed)
    random = torch.Generator().manual_seed(run.seed)
    model = build().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    )
    per_epoch = len(x) // BATCH
    steps = run.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, steps, min(per_epoch, steps // 10))
    )
    sparsifier = None
    if run.method != "dense":
        sparsifier = made(run.method, run.pattern, run.sparsity, steps)
        sparsifier.prepare(model, optimizer)
    for epoch in range(run.epochs):
        begin, total = time.process_time(), 0.0
        model.train()
        for rows in torch.randperm(len(x), generator=random)[: per_epoch * BATCH].split(BATCH):
            batch = augmented(x[rows], random).to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = functional.cross_entropy(model(batch), y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            if sparsifier is not None:
                sparsifier.step()
            total += loss.item()
        zeros = sparsifier.current_sparsity if sparsifier is not None else 0.0
        print(
            f"{run.method} {run.sparsity:g} seed {run.seed} epoch {epoch + 1}/{run.epochs}: loss "
            f"{total / per_epoch:.4f}, sparsity {zeros:.3f}, "
            f"{time.process_time() - begin:.0f} CPU seconds",
            file=sys.stderr,
            flush=True,
        )
    if sparsifier is not None:
        sparsifier.finalize()
    return model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The fraction told right."""
    with torch.inference_mode():
        right = [
            (model(rows).argmax(dim=1) == labels).sum()
            for rows, labels in zip(x.split(500), y.split(500), strict=True)
        ]
    return float(torch.stack(right).sum()) / len(x)


def zeros(model: nn.Module) -> dict[str, float]:
    """Sparsity over the pruned layers, and over the whole model."""
    adapter = open_model(model)
    pruned = [adapter.weight(layer.name) for layer in choose_layers(adapter.layers(), None)]
    weights = sum(weight.numel() for weight in pruned)
    kept = sum(int(weight.count_nonzero()) for weight in pruned)
    total, all_zeros = adapter.count_weights()
    return {
        "measured_sparsity": 1 - kept / weights,
        "model_sparsity": all_zeros / total,
        "weights": total,
    }


def runs(options: argparse.Namespace) -> Iterator[Run]:
    """Every run that was asked for; the dense ones first."""
    seeds = range(options.seeds)
    for seed in seeds:
        yield Run("dense", "unstructured", 0.0, seed, options.epochs)
    for method, pattern, sparsity, seed in product(
        options.methods, options.pattern, options.sparsity, seeds
    ):
        yield Run(method, pattern, sparsity, seed, options.epochs)


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
    return {Run(**{name: line[name] for name in names}) for line in lines}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.9, 0.95])
    parser.add_argument("--pattern", nargs="+", default=["unstructured"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--models", type=Path, help="a folder in which the weights are kept")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        # Refused before an hour is spent on the others.
        for method, pattern, sparsity in product(
            options.methods, options.pattern, options.sparsity
        ):
            made(method, pattern, sparsity, 1)
        training, test = images(options.data, "train"), images(options.data, "t10k")
    except GossamerError as error:
        parser.error(str(error))
    torch.set_num_threads(options.threads)
    if options.models is not None:
        options.models.mkdir(parents=True, exist_ok=True)
    done = existing(options.out)
    for run in runs(options):
        if run in done:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        model = train(run, *training)
        line = {
            "kind": "fashion",
            **asdict(run),
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "accuracy": accuracy(model, *test),
            **zeros(model),
            "threads": options.threads,
            "environment": environment.describe(),
        }
        if options.models is not None:
            state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            with atomic_path(options.models / run.file) as path:
                save_file(state, path)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        shown = ("method", "sparsity", "seed", "accuracy", "measured_sparsity", "cpu_seconds")
        print({key: line[key] for key in shown}, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
