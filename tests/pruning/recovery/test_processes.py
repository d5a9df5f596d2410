"""Several processes do together what one does alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import OptionError
from gossamer.models.torch_layers import find_layers
from gossamer.pruning.recovery import recover
from gossamer.pruning.recovery.processes import joined

SCRIPT = Path(__file__).with_name("in_processes.py")
SOURCES = Path(__file__).parents[3] / "src"

OPTIONS = {
    "steps": 6,
    "batch_size": 8,
    "losses": {"hidden": 1.0, "embedding": 1.0, "similarities": 1.0},
}


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def run(how: str, given: Path, out: Path, count: int = 2) -> list[dict[str, Any]]:
    """Start the processes as torchrun does, and return what each wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), how, str(given), str(out)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in started:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "accelerate"])
def test_two_processes_do_what_one_does(
    how: str, bert: nn.Module, sparse_bert: nn.Module, tokens: Any, tmp_path: Path
) -> None:
    if how == "accelerate":
        pytest.importorskip("accelerate")
    options = {**OPTIONS, "optimizer": sgd}
    alone = recover(sparse_bert, bert, tokens, **options)
    given = tmp_path / "job.pt"
    torch.save({"sparse": sparse_bert, "dense": bert, "data": tokens, "options": OPTIONS}, given)
    first, other = run(how, given, tmp_path / "out")
    assert first["processes"] == 2
    held = {id(layer.parameter) for layer in find_layers(sparse_bert)}
    expected = alone.model.state_dict()
    moved = 0.0
    for name, value in first["model"].items():
        assert torch.equal(value, other["model"][name]), f"{name} differs between processes"
        torch.testing.assert_close(value, expected[name], atol=2e-6, rtol=1e-4)
        moved += float((value - sparse_bert.state_dict()[name]).abs().sum())
    for name, parameter in sparse_bert.named_parameters():
        if id(parameter) in held:
            assert torch.equal(first["model"][name] == 0, parameter == 0)
    assert moved > 1.0
    assert first["history"] == other["history"]
    for mine, theirs in zip(first["history"], alone.history, strict=True):
        assert mine == pytest.approx(dict(theirs), rel=1e-4)


@pytest.fixture
def accelerate() -> Iterator[Any]:
    """The package, whose state is global, as it was after a fresh start."""
    package = pytest.importorskip("accelerate")
    yield package
    package.state.AcceleratorState._reset_state(reset_partial_state=True)


def test_one_process_of_accelerate_does_what_none_does(
    dense: nn.Module, sparse: nn.Module, x: Any, accelerate: Any
) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    plain = recover(sparse, dense, x, steps=10)
    found = recover(sparse, dense, x, steps=10, accelerator=accelerator)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[name])


def test_accelerators_that_do_other_things_are_refused(
    dense: nn.Module, sparse: nn.Module, x: Any, accelerate: Any
) -> None:
    with pytest.raises(OptionError, match="leave out device="):
        recover(sparse, dense, x, accelerator=accelerate.Accelerator(cpu=True), device="cpu")
    gathering = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    with pytest.raises(OptionError, match="gradient_accumulation_steps=1"):
        recover(sparse, dense, x, accelerator=gathering)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of one, which counts as set up."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_a_group_that_is_set_up_is_used_and_stays(group: None) -> None:
    with joined(None, None, torch.device("cpu")) as processes:
        assert processes.size == 1
        rows = torch.ones(2, 3, requires_grad=True)
        assert torch.equal(processes.gather(rows), rows)
        assert torch.equal(processes.mean(rows), rows)
    assert torch.distributed.is_initialized()


def test_shares_must_be_even(dense: nn.Module, sparse: nn.Module, x: Any) -> None:
    from gossamer.pruning.recovery.processes import Processes
    from gossamer.pruning.recovery.samples import Samples
    from gossamer.pruning.recovery.training import Feed

    class Three(Processes):
        size = 3
        rank = 1

    three = Three(torch.device("cpu"))
    samples = Samples([{"x": np.arange(12)}])
    with pytest.raises(OptionError, match="give a multiple of 3"):
        Feed(samples, 4, 0, three)
    feed = Feed(samples, 6, 0, three)
    whole = Feed(samples, 6, 0, Processes(torch.device("cpu")))
    for step in range(4):
        assert np.array_equal(feed[step]["x"], whole[step]["x"][2:4])
