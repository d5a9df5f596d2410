"""Sparse training with Lightning, under either of its names."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from gossamer.errors import OptionError
from gossamer.pruning.sparsifier import Sparsifier


def _callback_class() -> Any:
    """Return `Callback` of the package that the program uses; they do not mix."""
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in sorted(names, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name).Callback
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(
        "Lightning is not installed; pip install lightning (or pytorch-lightning)"
    )


if TYPE_CHECKING:
    from builtins import object as _Callback
else:
    _Callback = _callback_class()


class SparsifierCallback(_Callback):
    """Lets a `Sparsifier` follow a Lightning Trainer.

        trainer = Trainer(max_epochs=10, callbacks=[SparsifierCallback(Sparsifier(sparsity=0.8))])
        trainer.fit(module, loader)

    The sparsifier's `steps` may be left out: it is `trainer.estimated_stepping_batches`. Lightning
    keeps the sparsifier's state in its checkpoints. When training ends the module is sparse, and
    `sparsifier.masks` has the masks. Import this file after the Lightning that you use, if both
    `lightning` and `pytorch_lightning` are installed.

    Args:
        sparsifier: not prepared yet.
    """

    def __init__(self, sparsifier: Sparsifier) -> None:
        self.sparsifier = sparsifier
        self._steps = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Prepare the sparsifier.

        Raises:
            OptionError: if the module has several optimizers, or training is endless.
        """
        if len(trainer.optimizers) != 1:
            raise OptionError(
                f"the module has {len(trainer.optimizers)} optimizers; call the Sparsifier in the "
                "module itself, with the one that trains what is to become sparse"
            )
        if self.sparsifier.steps is None:
            steps = trainer.estimated_stepping_batches
            if not 0 < steps < float("inf"):
                raise OptionError("training has no end; give Sparsifier(steps=) or max_steps")
            self.sparsifier.steps = int(steps)
        self.sparsifier.prepare(pl_module, trainer.optimizers[0])
        self._steps = trainer.global_step

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step of the optimizer, unless gradients are only added up."""
        if trainer.global_step > self._steps:
            self._steps = trainer.global_step
            self.sparsifier.step()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Make the sparsity exact."""
        self.sparsifier.finalize()

    def state_dict(self) -> dict[str, Any]:
        """Return the sparsifier's state for a checkpoint of Lightning's; none before training."""
        return self.sparsifier.state_dict() if self.sparsifier.masks else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training go on from a checkpoint's state."""
        self.sparsifier.load_state_dict(state_dict)
