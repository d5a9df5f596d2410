"""The Trainer of transformers with a sparsifier, on a BERT of a few thousand weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gossamer as gs
from gossamer.errors import OptionError

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from gossamer.integrations.transformers import STATE_FILE, SparsifierCallback  # noqa: E402


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    configuration = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return transformers.BertForSequenceClassification(configuration)


def data() -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    rows = torch.randint(50, (64, 8), generator=random)
    return [{"input_ids": row, "labels": (row[0] % 2).long()} for row in rows]


def trainer(
    folder: Path, sparsifier: gs.Sparsifier, checkpoint: Path | None = None, **options: object
) -> transformers.Trainer:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        max_steps=12,
        save_steps=5,
        learning_rate=1e-2,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **options,
    )
    return transformers.Trainer(
        model=model(),
        args=arguments,
        train_dataset=data(),
        callbacks=[SparsifierCallback(sparsifier, checkpoint)],
    )


@pytest.mark.parametrize("method", ["movement", "rigl"])
def test_training_that_resumes_is_the_same_as_without_a_break(method: str, tmp_path: Path) -> None:
    whole = gs.Sparsifier(0.75, method=method, every=2)
    first = trainer(tmp_path, whole)
    first.train()
    assert whole.steps == 12, "micro-batches do not count"
    assert all("encoder.layer" in name for name in whole.masks)
    assert whole.current_sparsity == pytest.approx(0.75, abs=0.01)
    for name, mask in whole.masks.items():
        assert (first.model.get_parameter(name)[~mask] == 0).all()

    resumed = gs.Sparsifier(0.75, method=method, every=2)
    second = trainer(tmp_path, resumed)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    for name, parameter in first.model.named_parameters():
        assert torch.equal(parameter, second.model.get_parameter(name)), name


def test_a_checkpoint_may_lie_elsewhere_and_must_hold_the_state(tmp_path: Path) -> None:
    trainer(tmp_path / "a", gs.Sparsifier(0.5)).train()
    checkpoint = tmp_path / "a" / "checkpoint-10"
    named = gs.Sparsifier(0.5)
    trainer(tmp_path / "b", named, checkpoint).train(resume_from_checkpoint=str(checkpoint))
    assert named.current_sparsity == pytest.approx(0.5, abs=0.01)
    (checkpoint / STATE_FILE).unlink()
    with pytest.raises(OptionError, match="cannot resume sparse"):
        trainer(tmp_path / "a", gs.Sparsifier(0.5)).train(resume_from_checkpoint=str(checkpoint))
