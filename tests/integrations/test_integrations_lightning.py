"""Lightning with a sparsifier, under both names."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.errors import OptionError

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def lightning() -> Any:
    """Imported where it is used, since that takes seconds in each process that collects tests."""
    return pytest.importorskip("lightning.pytorch")


def callback_of(sparsifier: gs.Sparsifier) -> Any:
    from gossamer.integrations.lightning import SparsifierCallback

    return SparsifierCallback(sparsifier)


def make(library: ModuleType, optimizers: int = 1) -> Any:
    class Module(library.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 30), nn.ReLU(), nn.Linear(30, 4)
            )
            self.automatic_optimization = optimizers == 1

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            made = [torch.optim.AdamW(self.parameters(), 1e-2) for _ in range(optimizers)]
            return made[0] if optimizers == 1 else made

    return Module()


def loader() -> torch.utils.data.DataLoader[Any]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(96, 12, generator=random)
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8
    )


def trainer(library: ModuleType, folder: Path, callback: Any, **options: Any) -> Any:
    return library.Trainer(
        **{
            "max_epochs": 4,
            "accumulate_grad_batches": 2,
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": folder,
            "callbacks": [callback],
            **options,
        }
    )


@pytest.mark.parametrize("method", ["magnitude", "movement", "rigl", "logsum"])
def test_training_that_resumes_is_the_same_as_without_a_break(
    lightning: Any, method: str, tmp_path: Path
) -> None:
    def begin(**options: Any) -> tuple[Any, gs.Sparsifier, Any]:
        sparsifier = gs.Sparsifier(0.8, method=method, every=3)
        callback = callback_of(sparsifier)
        return make(lightning), sparsifier, trainer(lightning, tmp_path, callback, **options)

    whole, sparsifier, run = begin(enable_checkpointing=False)
    run.fit(whole, loader())
    assert sparsifier.steps == 24, "micro-batches do not count"
    (mask,) = sparsifier.finalize().values()
    assert int((~mask).sum()) == 576
    assert (whole.net[2].weight[~mask] == 0).all()

    class Stop(lightning.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    half, sparsifier, run = begin()
    run.callbacks.append(Stop())
    run.fit(half, loader())
    resumed, sparsifier, run = begin()
    run.fit(resumed, loader(), ckpt_path=str(tmp_path / "half.ckpt"), weights_only=True)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(sparsifier.masks["net.2.weight"], mask)


def test_several_optimizers_are_refused(lightning: Any, tmp_path: Path) -> None:
    run = trainer(
        lightning,
        tmp_path,
        callback_of(gs.Sparsifier(0.5)),
        accumulate_grad_batches=1,
        enable_checkpointing=False,
    )
    with pytest.raises(OptionError, match="2 optimizers"):
        run.fit(make(lightning, optimizers=2), loader())


def test_training_without_an_end_needs_steps(lightning: Any, tmp_path: Path) -> None:
    run = trainer(
        lightning,
        tmp_path,
        callback_of(gs.Sparsifier(0.5)),
        max_epochs=-1,
        enable_checkpointing=False,
    )
    with pytest.raises(OptionError, match="training has no end"):
        run.fit(make(lightning), loader())


@pytest.mark.slow
def test_the_older_name_works_too() -> None:
    """In a fresh process, as the two packages' classes do not mix."""
    pytest.importorskip("pytorch_lightning")
    code = (
        "import pytorch_lightning as library\n"
        "from gossamer.integrations.lightning import SparsifierCallback\n"
        "assert issubclass(SparsifierCallback, library.Callback)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert importlib.util.find_spec("lightning") is not None
