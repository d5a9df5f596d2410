"""What is written as a Hugging Face directory comes back, or it is said what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from gossamer.errors import ModelError
from gossamer.models import open_model
from gossamer.models.pretrained import copy_configuration, source_of, write_pretrained

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}


def test_tied_half_precision_weights_come_back_zeros_and_all(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(**SIZES, tie_word_embeddings=True)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[::2] = 0
    (note,) = write_pretrained(model, tmp_path, None)
    assert "No tokenizer or processor was found" in note
    assert not list(tmp_path.glob("*.bin"))
    weights, config_file = tmp_path / "model.safetensors", tmp_path / "config.json"
    assert weights.stat().st_mode == config_file.stat().st_mode
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    theirs = loaded.state_dict()
    for name, tensor in model.state_dict().items():
        assert theirs[name].dtype == torch.bfloat16
        assert torch.equal(theirs[name], tensor), name


def test_what_from_pretrained_does_not_hold_is_said(bert: Any, tmp_path: Path) -> None:
    dense = bert.encoder.layer[0].intermediate.dense
    bert.encoder.layer[0].intermediate.dense = nn.Linear(16, 30)
    bert.encoder.layer[0].output.dense = nn.Linear(30, 16)
    notes = write_pretrained(bert, tmp_path, None)
    assert any("does not load it" in note or "does not restore" in note for note in notes), notes
    bert.encoder.layer[0].intermediate.dense = dense
    bert.encoder.layer[0].output.dense = nn.Linear(24, 16)
    bert.encoder.layer[0].extra = nn.Linear(2, 2)
    notes = write_pretrained(bert, tmp_path, None)
    assert any("does not restore 'encoder.layer.0.extra.weight'" in note for note in notes), notes


def test_weights_that_were_computed_are_said_to_be_made_up_anew(tmp_path: Path) -> None:
    config = transformers.Wav2Vec2Config(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4,),
        conv_stride=(2,),
        conv_kernel=(2,),
        num_feat_extract_layers=1,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    adapter = open_model(transformers.Wav2Vec2Model(config))
    notes = write_pretrained(adapter.model, tmp_path, None)
    assert any("computed" in note and "parametrizations" in note for note in notes), notes


def test_a_head_that_only_served_pretraining_is_said_to_be_gone(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)).save_pretrained(source)
    out.mkdir()
    notes = write_pretrained(open_model(source).model, out, source)
    assert notes == [
        "The head of BertForMaskedLM is not in it: what was written is the BertModel within."
    ]
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertModel"]


def test_a_class_of_the_user_s_own_is_said_to_be_needed(tmp_path: Path) -> None:
    class Mine(transformers.BertModel):  # type: ignore[misc]
        pass

    notes = write_pretrained(Mine(transformers.BertConfig(**SIZES)), tmp_path, None)
    assert any("transformers has no Mine" in note for note in notes)


def test_a_model_with_adapters_is_refused(bert: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(bert, peft.LoraConfig(target_modules=["query"], r=2))
    with pytest.raises(ModelError, match=r"carries adapters.*merge them first"):
        write_pretrained(adapted, tmp_path, None)
    assert not list(tmp_path.iterdir())


def test_a_model_knows_the_directory_that_it_was_loaded_from(bert: Any, tmp_path: Path) -> None:
    bert.save_pretrained(tmp_path)
    assert source_of(transformers.AutoModel.from_pretrained(tmp_path)) == tmp_path
    assert source_of(str(tmp_path)) == tmp_path
    assert source_of(bert) is None
    assert source_of(nn.Linear(2, 2)) is None
    assert source_of(tmp_path / "config.json") is None


def test_weights_results_and_hidden_files_are_no_configuration(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    kept = ("config.json", "vocab.txt", "spiece.model", "source.spm", "2_Dense/model.safetensors")
    left = (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "onnx/model.safetensors",
        ".cache/x.json",
        "result.json",
    )
    for name in (*kept, *left):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("")
    behind = [{"path": ""}, {"path": "2_Dense"}]
    (source / "modules.json").write_text(json.dumps(behind))
    copy_configuration(source, out)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {*kept, "modules.json"}
