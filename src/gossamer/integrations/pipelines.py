"""Models of transformers that run as compiled sessions: in pipelines, in sentence-transformers, or
by themselves."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from transformers import Pipeline, PreTrainedModel

from gossamer.errors import OptionError
from gossamer.models.evaluated import FORM_ALONE, as_array
from gossamer.models.torch_evaluated import Likeness
from gossamer.verbs.compile import compile

if TYPE_CHECKING:
    from gossamer.runtime import Session

_T = TypeVar("_T")


def compiled(thing: _T, *, threads: int | None = None) -> _T:
    """Return the same with each of its transformers models compiled.

        classify = compiled(pipeline("text-classification", "folder"))
        encoder = compiled(SentenceTransformer("folder"))

    A model is compiled when it is first called, for the inputs that it is called with, and then
    answers as before, with tensors in its own `ModelOutput`; of this the main output alone is given
    (`logits`, or for a model without a head `last_hidden_state`), the others are None. In training
    mode, and where hidden states or attentions are asked for, PyTorch runs it. What was given stays
    as it is; both have the same weights, and changes of these do not reach what is compiled.

    Args:
        thing: a model, a pipeline, or a module that holds models, such as a SentenceTransformer or
            a CrossEncoder.
        threads: to run with; by default every core that the process may use.

    Raises:
        OptionError: if there is no transformers model in it, or one that generates token after
            token.
    """
    if isinstance(thing, Pipeline):
        made = copy.copy(thing)
        made.model = compiled(thing.model, threads=threads)
        return made
    found = _within(thing, threads) if isinstance(thing, nn.Module) else thing
    if found is thing:
        raise OptionError(
            f"there is no model of transformers in the {type(thing).__name__}; compile it with "
            "gossamer.compile"
        )
    return found  # type: ignore[return-value]


def _within(module: nn.Module, threads: int | None) -> nn.Module:
    """Return a module with the models in it compiled; itself, if there is none."""
    if isinstance(module, PreTrainedModel):
        made: nn.Module = _compiled(module, threads)
        return made
    inner = {
        name: child if child is None else _within(child, threads)
        for name, child in module._modules.items()
    }
    if all(child is module._modules[name] for name, child in inner.items()):
        return module
    copied = copy.copy(module)
    copied._modules = inner
    return copied


def _compiled(model: Any, threads: int | None) -> Any:
    if model.can_generate():
        raise OptionError(
            f"{type(model).__name__} generates token after token, which is not compiled; compile a "
            "model that reads its inputs whole"
        )
    made = copy.copy(model)
    made.forward = functools.wraps(model.forward)(Forward(model, made, threads))
    return made


class Forward:
    """The forward pass of a model, by a session for each set of inputs that it is called with.

    Args:
        model: that it is of.
        copied: the module whose forward it becomes.
        threads: of the sessions.
    """

    def __init__(self, model: Any, copied: Any, threads: int | None) -> None:
        self._model, self._copied, self._threads = model, copied, threads
        self._likeness = Likeness(model)
        self.sessions: dict[tuple[str, ...], Session] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; arguments and results as it has them."""
        given = self._likeness.bound(args, kwargs)
        given = {name: value for name, value in given.items() if value is not None}
        feeds = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        others = given.keys() - feeds.keys() - FORM_ALONE
        if self._copied.training or not feeds or any(given[name] is not False for name in others):
            return self._model.forward(*args, **kwargs)
        key = tuple(sorted(feeds))
        if key not in self.sessions:
            self.sessions[key] = compile(self._model, feeds, threads=self._threads)
        session = self.sessions[key]
        taken = {port.name for port in session.get_inputs()}
        arrays = {name: as_array(value) for name, value in feeds.items() if name in taken}
        names = [port.name for port in session.get_outputs()]
        results = dict(zip(names, session.run(None, arrays), strict=True))
        device = next(iter(feeds.values())).device
        return self._likeness.answer(args, kwargs, results, device)
