from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gossamer.errors import ModelError
from gossamer.models.hugging_face import is_transformers_model, load_directory


def saved(path: Path, head: str) -> Path:
    import transformers

    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    getattr(transformers, head)(config).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("head", "loaded"),
    [
        ("BertModel", "BertModel"),
        ("BertForSequenceClassification", "BertForSequenceClassification"),
        ("BertForMaskedLM", "BertModel"),
    ],
)
def test_a_task_s_head_is_kept_and_a_pretraining_head_is_not(
    tmp_path: Path, head: str, loaded: str
) -> None:
    model = load_directory(saved(tmp_path, head))
    assert type(model).__name__ == loaded
    assert not model.training and is_transformers_model(model)


def test_the_precision_is_that_of_the_files(tmp_path: Path) -> None:
    from transformers import AutoModel

    saved(tmp_path, "BertModel")
    AutoModel.from_pretrained(tmp_path).half().save_pretrained(tmp_path)
    assert next(load_directory(tmp_path).parameters()).dtype == torch.float16


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_directory(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_directory(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_directory(tmp_path)


def test_an_ordinary_module_is_no_transformers_model() -> None:
    assert not is_transformers_model(torch.nn.Linear(2, 2))
