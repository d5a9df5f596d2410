"""What the sparse model is to have in common with the dense one: the terms of the loss.

Every term is 0 where both models agree, and has no unit, so that a weight suits most models alike.
It is written so that its mean over several processes, each with its share of a mini-batch, is the
term of the whole mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gossamer import arguments
from gossamer.errors import OptionError, shown
from gossamer.models.padding import Padding, without_padding
from gossamer.pruning.recovery.observing import Output, Seen
from gossamer.sparsity.registry import named

_TINY = 1e-12


@dataclass(frozen=True)
class Setting:
    """What the terms need besides the two models.

    Attributes:
        padding: knows which mask of the mini-batch speaks of what the models show.
        batch: the mini-batch, tensors by name.
        temperature: that softens the distributions of logits.
        mean: the mean of a tensor over all processes, without gradient.
        gather: the rows of all processes, in order; gradients reach the own ones.
    """

    padding: Padding
    batch: Mapping[str, Tensor]
    temperature: float
    mean: Callable[[Tensor], Tensor]
    gather: Callable[[Tensor], Tensor]

    def mask(self, place: str, shown: Tensor) -> Tensor | None:
        """Return the mask that speaks of what is shown at a place; see `Seen.places`."""
        found = self.padding.mask(self.batch, place, shown.shape)
        return None if found is None else found.to(shown.device)


Loss = Callable[[Seen, Seen, Setting], Tensor]
"""From what the sparse and the dense model show to a scalar."""

Compare = Callable[[Tensor, Tensor, Setting, str], Tensor]
"""From what the sparse and the dense model show at a place to a scalar."""


class Term(NamedTuple):
    """A term of the loss, and which part of `Seen` it compares."""

    compares: Literal["outputs", "hidden", "blocks"]
    loss: Loss


def outputs(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare each output as what it is known to be: `logits`, or else `values`."""
    return _each(
        sparse,
        dense,
        setting,
        lambda output: divergence if output.logits else relative_error,
    )


def logits(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare all outputs as scores of classes of which one is right; see `divergence`."""
    return _each(sparse, dense, setting, lambda output: divergence)


def values(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare all outputs number by number; see `relative_error`."""
    return _each(sparse, dense, setting, lambda output: relative_error)


def hidden(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare the final hidden states; see `relative_error`."""
    return relative_error(_hidden(sparse), _hidden(dense), setting, "hidden")


def blocks(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare the hidden states that each block gives; the mean of `relative_error` over them."""
    pairs = enumerate(zip(sparse.blocks, dense.blocks, strict=True))
    total = _total(
        relative_error(own, theirs, setting, f"block {number}") for number, (own, theirs) in pairs
    )
    return total / len(dense.blocks)


def embedding(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare the pooled final hidden states: 1 - cosine, mean over the samples."""
    own, theirs = _pooled(sparse, setting), _pooled(dense, setting)
    return 1 - functional.cosine_similarity(own.float(), theirs.float(), dim=1).mean()


def similarities(sparse: Seen, dense: Seen, setting: Setting) -> Tensor:
    """Compare how similar the samples of a mini-batch are to each other.

    Squared differences of the cosines of all pairs' embeddings, in units of the variance of the
    dense model's: what is left unexplained of them (similarity-preserving distillation, Tung and
    Mori 2019, equation 4, with cosines in place of its normalised rows). 0 for fewer than three
    samples.
    """
    own = setting.gather(_unit(_pooled(sparse, setting)))
    theirs = setting.gather(_unit(_pooled(dense, setting)))
    if len(own) < 3:
        return own.sum() * 0
    first, other = torch.triu_indices(len(own), len(own), 1, device=own.device)
    found, wanted = (own @ own.T)[first, other], (theirs @ theirs.T)[first, other]
    return (found - wanted).square().mean() / wanted.var(correction=0).clamp_min(_TINY)


TERMS: dict[str, Term] = {
    "outputs": Term("outputs", outputs),
    "logits": Term("outputs", logits),
    "values": Term("outputs", values),
    "hidden": Term("hidden", hidden),
    "blocks": Term("blocks", blocks),
    "embedding": Term("hidden", embedding),
    "similarities": Term("hidden", similarities),
}

# The similarities of a sparse model are at first so far off, in units of their variance, that at
# equal weight they drown the rest. After 40 steps on MiniLM, 80 % sparse, 1 - Spearman to the dense
# model's similarities fell from 0.296 to 0.248, 0.214, 0.198 and 0.197 with the weights 1, 0.2,
# 0.05 and 0; agreement with people was 0.642, 0.657, 0.667 and 0.656 (0.656 is the dense model's).
_ENCODER = {"hidden": 1.0, "embedding": 1.0, "similarities": 0.05}

TASK = "task"
"""The name under which `losses` weighs the user's own `task_loss`."""


def default_losses(dense: Seen) -> dict[str, float]:
    """Return the weights of the terms that suit what a model returns.

    An encoder that returns its `last_hidden_state` and no logits: hidden, embedding and, weighed
    by 0.05, similarities. Any other model: outputs.
    """
    alone = len(dense.outputs) == 1 and dense.outputs[0].value is dense.hidden
    return dict(_ENCODER if alone else {"outputs": 1.0})


def checked_losses(losses: Mapping[str, float], *, labelled: bool) -> dict[str, float]:
    """Return the weights by term, those that are 0 left out.

    Args:
        losses: weights by the name of a term, or "task".
        labelled: whether there is a `task_loss`, which weighs 1 unless it is said.

    Raises:
        OptionError: if a name is unknown, a weight is no finite number from 0 up, or all are 0.
    """
    weights = {TASK: 1.0} if labelled else {}
    if not isinstance(losses, Mapping):
        raise OptionError(
            f"losses is {shown(losses)}; give weights by the names of terms, such as "
            "{'outputs': 1}"
        )
    for name, weight in losses.items():
        if name == TASK and not labelled:
            raise OptionError("losses= weighs 'task'; give task_loss= too")
        if name != TASK:
            named("loss", name, TERMS)
        weights[name] = arguments.number(
            f"the weight of {name!r} in losses=", weight, lambda it: it >= 0, "a number from 0 up"
        )
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    if not weights:
        raise OptionError("losses= leaves nothing to train for; give a term a weight above 0")
    return weights


def relative_error(own: Tensor, theirs: Tensor, setting: Setting, place: str) -> Tensor:
    """Return |own - theirs|^2 / |theirs|^2, positions that are padding left out."""
    mask = setting.mask(place, theirs)
    own, theirs = without_padding(own, mask), without_padding(theirs, mask)
    scale = setting.mean(theirs.float().square().sum())
    return (own.float() - theirs.float()).square().sum() / scale.clamp_min(_TINY)


def divergence(own: Tensor, theirs: Tensor, setting: Setting, place: str) -> Tensor:
    """Return the Kullback-Leibler divergence of two distributions over classes.

    T^2 KL(softmax(theirs / T) || softmax(own / T)), mean over samples and positions, padding left
    out (Hinton, Vinyals and Dean 2015, section 2).

    Args:
        own: `[samples, classes]`, `[samples, positions, classes]` or `[samples, classes, height,
            width]`.
        theirs: likewise.
        setting: with the temperature T.
        place: where both are shown; see `Seen.places`.
    """
    image = own.ndim > 3
    mask = None if image else setting.mask(place, theirs)
    axis = 1 if image else -1
    own = without_padding(own.movedim(axis, -1), mask)
    theirs = without_padding(theirs.movedim(axis, -1), mask)
    found = functional.log_softmax(own.float() / setting.temperature, dim=-1)
    wanted = functional.log_softmax(theirs.float() / setting.temperature, dim=-1)
    count = setting.mean(torch.tensor(float(len(own)), device=own.device)).clamp_min(1)
    total = functional.kl_div(found, wanted, reduction="sum", log_target=True)
    return setting.temperature**2 * total / count


def pooled(states: Tensor, mask: Tensor | None) -> Tensor:
    """Return one vector a sample `[samples, width]`: the mean over its positions.

    Args:
        states: `[samples, positions, width]`, `[samples, channels, height, width]` or already
            `[samples, width]`.
        mask: `[samples, positions]`, 0 for padding, which is left out.
    """
    if states.ndim == 2:
        return states
    if states.ndim > 3:
        return states.flatten(2).mean(dim=2)
    if mask is None:
        return states.mean(dim=1)
    present = (mask != 0).to(states.dtype).unsqueeze(2)
    # A padded position may hold anything, infinity too, which a product with 0 would keep.
    kept = states.masked_fill(present == 0, 0)
    return kept.sum(dim=1) / present.sum(dim=1).clamp_min(1)


def _each(
    sparse: Seen, dense: Seen, setting: Setting, compare: Callable[[Output], Compare]
) -> Tensor:
    """Return the total over the outputs."""
    pairs = enumerate(zip(sparse.outputs, dense.outputs, strict=True))
    return _total(
        compare(theirs)(own.value, theirs.value, setting, f"output {number}")
        for number, (own, theirs) in pairs
    )


def _pooled(seen: Seen, setting: Setting) -> Tensor:
    states = _hidden(seen)
    return pooled(states, setting.mask("hidden", states))


def _hidden(seen: Seen) -> Tensor:
    assert seen.hidden is not None
    return seen.hidden


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors.float(), dim=1)


def _total(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
