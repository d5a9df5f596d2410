"""What a module returns, and the hidden states inside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import ModelError
from gossamer.pruning.recovery.observing import Observer, read_outputs

A, B = torch.ones(2, 3), torch.zeros(2, 4)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return x + self.linear(x).relu(), None


class Stack(nn.Module):
    """Blocks that give their state first in a tuple, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block(), Block()])
        self.head = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x, _ = block(x)
        return self.head(x)


@pytest.mark.parametrize(
    ("returned", "values", "logits"),
    [
        (A, [A], False),
        ((A, torch.ones(2, dtype=torch.long), B), [A, B], False),
        ((A, (B, B)), [A], False),
        ({"loss": torch.ones(()), "logits": A, "other": B}, [A], True),
        ({"start_logits": A, "end_logits": B}, [A, B], True),
        ({"last_hidden_state": A, "pooler_output": B}, [A], False),
        ({"loss": torch.ones(()), "boxes": A, "scores": B}, [A, B], False),
        ({"logits": torch.ones(2, 1)}, [torch.ones(2, 1)], False),
    ],
)
def test_outputs_are_known_by_name(returned: Any, values: list[Any], logits: bool) -> None:
    found = read_outputs(returned)
    assert all(torch.equal(one.value, value) for one, value in zip(found, values, strict=True))
    assert all(one.logits == logits for one in found)


@pytest.mark.parametrize("kind", ["regression", "multi_label_classification"])
def test_a_configuration_may_say_that_logits_are_none(kind: str) -> None:
    (found,) = read_outputs({"logits": A}, SimpleNamespace(problem_type=kind))
    assert not found.logits


def test_a_model_without_tensors_is_refused() -> None:
    with pytest.raises(ModelError, match="returns a str"):
        read_outputs("text")


def test_blocks_and_the_last_of_them_are_seen() -> None:
    model = Stack()
    x = torch.randn(4, 6)
    states = [x]
    for block in model.blocks:
        states.append(block(states[-1])[0])
    seen = Observer(model, blocks=True)({"x": x})
    assert all(torch.equal(*pair) for pair in zip(seen.blocks, states[1:], strict=True))
    assert seen.hidden is not None
    assert torch.equal(seen.hidden, states[-1])
    assert torch.equal(seen.outputs[0].value, model(x))
    few = Observer(model, blocks=False)({"x": x})
    assert few.blocks == ()
    assert few.hidden is not None
    assert torch.equal(few.hidden, states[-1])
    assert not any(module._forward_hooks for module in model.modules()), "nothing is left behind"


def test_a_classifiers_hidden_states_are_those_of_its_base() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).eval()
    ids = torch.from_numpy(np.arange(1, 11).reshape(2, 5))
    seen = Observer(model, blocks=True)({"input_ids": ids})
    assert seen.hidden is not None
    assert torch.equal(seen.hidden, model.bert(ids).last_hidden_state)
    assert len(seen.blocks) == 2
    assert seen.outputs[0].logits


def test_a_plain_perceptron_has_no_hidden_states(dense: nn.Module) -> None:
    assert Observer(dense, blocks=True)({"input": torch.ones(2, 12)}).hidden is None
