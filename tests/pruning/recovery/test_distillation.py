"""The terms against their formulas, padding left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gossamer.errors import OptionError
from gossamer.models.padding import Padding
from gossamer.pruning.recovery.distillation import (
    TERMS,
    Setting,
    checked_losses,
    default_losses,
    pooled,
)
from gossamer.pruning.recovery.observing import Output, Seen

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])


def seen(hidden: Tensor | None = None, outputs: Any = (), blocks: Any = ()) -> Seen:
    return Seen(None, tuple(outputs), hidden, tuple(blocks))


def setting(mask: Tensor | None = None, temperature: float = 1.0) -> Setting:
    batch = {} if mask is None else {"attention_mask": mask}
    return Setting(Padding(), batch, temperature, lambda tensor: tensor.detach(), lambda rows: rows)


@pytest.fixture
def states() -> tuple[Tensor, Tensor]:
    """Hidden states of two models, 4 samples of 4 positions."""
    torch.manual_seed(0)
    first = torch.randn(4, 4, 6)
    return first + 0.3 * torch.randn(4, 4, 6), first


def test_every_term_is_zero_between_equals(states: Any) -> None:
    same = seen(states[0], [Output(states[0], logits=False)], [states[0]])
    for name, term in TERMS.items():
        assert float(term.loss(same, same, setting(MASK, 2.0))) == pytest.approx(0, abs=1e-6), name


@pytest.mark.parametrize("name", list(TERMS))
def test_padding_does_not_count(name: str, states: Any) -> None:
    own, theirs = states
    spoilt = torch.where(MASK.bool()[..., None], own, torch.tensor(1e6))
    found = [
        TERMS[name].loss(
            seen(one, [Output(one, logits=True)], [one]),
            seen(theirs, [Output(theirs, logits=True)], [theirs]),
            setting(MASK),
        )
        for one in (own, spoilt)
    ]
    assert torch.equal(found[0], found[1])
    assert float(found[0]) > 0


def test_hidden_is_the_relative_squared_error(states: Any) -> None:
    own, theirs = (one.numpy() for one in states)
    present = MASK.numpy().astype(bool)
    expected = ((own - theirs)[present] ** 2).sum() / (theirs[present] ** 2).sum()
    found = TERMS["hidden"].loss(seen(states[0]), seen(states[1]), setting(MASK))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_blocks_is_the_mean_over_the_blocks(states: Any) -> None:
    own, theirs = states
    one = TERMS["hidden"].loss(seen(own), seen(theirs), setting())
    found = TERMS["blocks"].loss(
        seen(blocks=[own, theirs]), seen(blocks=[theirs, theirs]), setting()
    )
    assert float(found) == pytest.approx(float(one) / 2, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("shape", ["classes", "tokens", "pixels"])
def test_logits_is_the_divergence_of_scipy(shape: str, temperature: float) -> None:
    torch.manual_seed(0)
    own, theirs = torch.randn(2, 4, 4, 7).unbind(0)
    mask = MASK if shape == "tokens" else None
    rows = [
        one[MASK.bool()].numpy() if mask is not None else one.reshape(-1, 7).numpy()
        for one in (own, theirs)
    ]
    if shape == "classes":
        own, theirs = own.reshape(-1, 7), theirs.reshape(-1, 7)
    if shape == "pixels":
        own, theirs = (one[None].permute(0, 3, 1, 2) for one in (own, theirs))
    found = TERMS["logits"].loss(
        seen(outputs=[Output(own, logits=True)]),
        seen(outputs=[Output(theirs, logits=True)]),
        setting(mask, temperature),
    )
    q, p = (np.exp(row / temperature) for row in rows)
    expected = temperature**2 * stats.entropy(p, q, axis=1).mean()
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_outputs_are_compared_as_what_they_are(states: Any) -> None:
    own, theirs = states[0][0], states[1][0]
    for logits, name in ((True, "logits"), (False, "values")):
        pair = [seen(outputs=[Output(one, logits)]) for one in (own, theirs)]
        assert torch.equal(
            TERMS["outputs"].loss(*pair, setting()), TERMS[name].loss(*pair, setting())
        )


def test_embedding_is_one_minus_the_cosine(states: Any) -> None:
    own, theirs = (
        np.stack([one[i, : int(MASK[i].sum())].numpy().mean(axis=0) for i in range(4)])
        for one in states
    )
    cosine = (own * theirs).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(theirs, axis=1)
    found = TERMS["embedding"].loss(seen(states[0]), seen(states[1]), setting(MASK))
    assert float(found) == pytest.approx(1 - cosine.mean(), rel=1e-4)


def test_similarities_is_what_is_left_unexplained(states: Any) -> None:
    unit = []
    for one in states:
        vectors = np.stack([one[i, : int(MASK[i].sum())].numpy().mean(axis=0) for i in range(4)])
        unit.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    pairs = np.triu_indices(4, 1)
    own, theirs = ((one @ one.T)[pairs] for one in unit)
    expected = ((own - theirs) ** 2).mean() / theirs.var()
    found = TERMS["similarities"].loss(seen(states[0]), seen(states[1]), setting(MASK))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_two_samples_have_no_similarities_to_compare(states: Any) -> None:
    pair = [seen(one[:2]) for one in states]
    assert float(TERMS["similarities"].loss(*pair, setting())) == 0


def test_images_are_pooled_over_their_pixels() -> None:
    images = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(pooled(images, None), images.mean((2, 3)))


def test_defaults_follow_what_the_model_returns() -> None:
    hidden = torch.ones(2, 3, 4)
    encoder = seen(hidden, [Output(hidden, logits=False)])
    assert default_losses(encoder) == {"hidden": 1.0, "embedding": 1.0, "similarities": 0.05}
    classifier = seen(hidden, [Output(torch.ones(2, 5), logits=True)])
    assert default_losses(classifier) == {"outputs": 1.0}


def test_weights_are_checked() -> None:
    assert checked_losses({"hidden": 2, "blocks": 0}, labelled=False) == {"hidden": 2.0}
    assert checked_losses({"hidden": 2}, labelled=True) == {"task": 1.0, "hidden": 2.0}
    assert checked_losses({"task": 0.5}, labelled=True) == {"task": 0.5}


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"hiden": 1.0}, "unknown loss 'hiden'; choose one of: blocks"),
        ({"hidden": -1.0}, "'hidden' in losses= is -1.0; give"),
        ({"hidden": "much"}, "'hidden' in losses= is 'much'; give"),
        ({"hidden": 0.0}, "nothing to train for"),
        ({"task": 1.0}, "give task_loss="),
    ],
)
def test_weights_that_mean_nothing_are_refused(losses: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        checked_losses(losses, labelled=False)
