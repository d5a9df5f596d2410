"""Sparse training with the Trainer of transformers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from gossamer.errors import OptionError
from gossamer.pruning.sparsifier import Sparsifier
from gossamer.pruning.state_file import write_state

STATE_FILE = "gossamer_sparsifier.pt"
"""In each of the Trainer's checkpoints: the sparsifier's state."""


class SparsifierCallback(TrainerCallback):  # type: ignore[misc]
    """Lets a `Sparsifier` follow a Trainer.

        trainer = Trainer(model, ..., callbacks=[SparsifierCallback(Sparsifier(sparsity=0.8))])
        trainer.train()

    The sparsifier's `steps` may be left out: it is the Trainer's number of optimizer steps. Each
    checkpoint holds the sparsifier's state, and training that resumes goes on from it. When
    training ends the model is sparse, and `sparsifier.masks` has the masks.

    Args:
        sparsifier: not prepared yet.
        checkpoint: the folder to resume from, where it is not `checkpoint-N` in the Trainer's
            `output_dir`.
    """

    def __init__(
        self, sparsifier: Sparsifier, checkpoint: str | os.PathLike[str] | None = None
    ) -> None:
        self.sparsifier = sparsifier
        self._checkpoint = None if checkpoint is None else Path(checkpoint)

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Prepare the sparsifier; go on where a checkpoint was.

        Raises:
            OptionError: if training resumes from a checkpoint without a sparsifier's state.
        """
        if self.sparsifier.steps is None:
            self.sparsifier.steps = state.max_steps
        if state.global_step > 0:
            folder = self._checkpoint or self._folder(args, state)
            if not (folder / STATE_FILE).exists():
                raise OptionError(
                    f"{folder / STATE_FILE} is missing, so training cannot resume sparse; name "
                    "the checkpoint with SparsifierCallback(..., checkpoint=)"
                )
            self.sparsifier.load_state_dict(
                torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
            )
        self.sparsifier.prepare(parts["model"], parts["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Count a step of the optimizer."""
        self.sparsifier.step()

    def on_save(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Put the sparsifier's state into the checkpoint."""
        if state.is_world_process_zero:
            write_state(self.sparsifier.state_dict(), self._folder(args, state) / STATE_FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Make the sparsity exact."""
        self.sparsifier.finalize()

    @staticmethod
    def _folder(args: Any, state: Any) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}"
