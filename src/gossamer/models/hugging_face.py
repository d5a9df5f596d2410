"""Reading Hugging Face directories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import ModelError
from gossamer.user_code import describe

if TYPE_CHECKING:
    import torch

# Heads that only served to train the encoder: those who use it want its hidden states.
_TRAINING_HEADS = ("ForMaskedLM", "ForPreTraining")


def load_directory(path: Path) -> torch.nn.Module:
    """Load a model from local files, in its own precision and in eval mode.

    The class is the one that config.json's `architectures` names if it ends in a task's head
    (such as BertForSequenceClassification), since the head is what the user evaluates; else
    `AutoModel`, also for heads that only served for pretraining.

    Raises:
        ModelError: if transformers is missing, or the directory holds no model that it can load.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            f"{path} is a Hugging Face directory, which needs transformers; install it with: "
            "pip install 'gossamer[transformers]'"
        ) from error
    config = path / "config.json"
    if not config.is_file() and (path / "adapter_config.json").is_file():
        raise ModelError(
            f"{path} holds an adapter, which is no model by itself; load it onto its model with "
            "peft, call merge_and_unload() and give the result"
        )
    if not config.is_file():
        raise ModelError(f"{path} has no config.json; give a directory made by save_pretrained")
    try:
        settings: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
        architecture = (settings.get("architectures") or [""])[0]
        has_head = "For" in architecture or architecture.endswith("LMHeadModel")
        encoder_only = not settings.get("is_decoder") and architecture.endswith(_TRAINING_HEADS)
        loader = transformers.AutoModel
        if has_head and not encoder_only:
            loader = getattr(transformers, architecture, transformers.AutoModel)
        # local_files_only: a name that happens to be missing must not turn into a download.
        with without_progress_bar(transformers.utils.logging):
            model: torch.nn.Module = loader.from_pretrained(
                str(path), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded by transformers: {describe(error)}") from error
    return model.eval()


@contextmanager
def without_progress_bar(logging: Any) -> Iterator[None]:
    """Keep transformers from drawing a bar of its own, which lasts a blink and stays on screen."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def is_transformers_model(model: Any) -> bool:
    """Return whether a module is a model of the transformers library."""
    return hasattr(model, "config") and hasattr(model, "set_attn_implementation")
