"""What a module shows while it runs: its outputs, its final hidden states, those of its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.errors import ModelError
from gossamer.models.torch_layers import find_blocks

# What these say is no choice of one class out of many.
_NO_CHOICE = ("regression", "multi_label_classification")


@dataclass(frozen=True)
class Output:
    """One tensor that a model returns.

    Attributes:
        value: `[samples, ...]`.
        logits: whether it is scores of classes, of which one is right.
    """

    value: Tensor
    logits: bool


@dataclass(frozen=True)
class Seen:
    """What a module showed for one mini-batch.

    Attributes:
        returned: by the module, as it is.
        outputs: the tensors in it that are compared.
        hidden: the final hidden states, `[samples, positions, width]`, `[samples, channels,
            height, width]` or `[samples, width]`; None if the module shows none.
        blocks: the hidden states that each block gives, in the order of their use; empty unless
            asked for.
    """

    returned: Any
    outputs: tuple[Output, ...]
    hidden: Tensor | None
    blocks: tuple[Tensor, ...]

    def places(self) -> dict[str, Tensor]:
        """Return what is compared, by where it is shown: "output 0", "hidden", "block 0"."""
        shown = {f"output {number}": one.value for number, one in enumerate(self.outputs)}
        shown |= {f"block {number}": states for number, states in enumerate(self.blocks)}
        return shown if self.hidden is None else {**shown, "hidden": self.hidden}


class Observer:
    """Runs a module and shows what is inside.

    The final hidden states are the `last_hidden_state` that the module returns; else the one that
    the base of a transformers model returns to its head; else what the last of the repeated blocks
    gives (`gossamer.models.torch_layers.find_blocks`).

    Args:
        module: to be run.
        blocks: whether the blocks' hidden states are wanted.
    """

    def __init__(self, module: nn.Module, *, blocks: bool) -> None:
        self._module = module
        self._all = blocks
        base = getattr(module, "base_model", module)
        self._base = base if isinstance(base, nn.Module) and base is not module else None
        # The modules of an exported graph are gone.
        exported = isinstance(module, torch.fx.GraphModule)
        names = [] if exported else find_blocks(module)
        self._blocks = [module.get_submodule(name) for name in names]

    def __call__(self, inputs: Mapping[str, Tensor]) -> Seen:
        """Run the module on inputs by name."""
        blocks: list[Tensor] = []
        base: list[Any] = []

        def note_block(module: nn.Module, args: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple | list) and output else output
            if isinstance(hidden, Tensor):
                if not self._all:
                    # The last is enough, and the others need their memory no longer.
                    blocks.clear()
                blocks.append(hidden)

        def note_base(module: nn.Module, args: Any, output: Any) -> None:
            base.append(output)

        with ExitStack() as hooks:
            for block in self._blocks:
                hooks.callback(block.register_forward_hook(note_block).remove)
            if self._base is not None:
                hooks.callback(self._base.register_forward_hook(note_base).remove)
            returned = self._module(**inputs)
        hidden = _last_hidden_state(returned)
        if hidden is None and base:
            hidden = _last_hidden_state(base[-1])
        if hidden is None and blocks:
            hidden = blocks[-1]
        outputs = read_outputs(returned, getattr(self._module, "config", None))
        return Seen(returned, outputs, hidden, tuple(blocks) if self._all else ())


def read_outputs(returned: Any, config: Any = None) -> tuple[Output, ...]:
    """Return the tensors of a model's answer that are compared.

    By name: everything called `logits` or `..._logits`; else the `last_hidden_state`; else every
    floating-point tensor but a `loss`. Without names: the tensor, or every floating-point tensor
    of a tuple. Only what bears the name can be known to be logits, and is none if the model's
    configuration says that it is a regression or that several labels may be right.

    Args:
        returned: by a module.
        config: of a transformers model, if it is one.

    Raises:
        ModelError: if there is no such tensor.
    """
    if isinstance(returned, Mapping):
        named = {str(key): value for key, value in returned.items() if _is_floating(value)}
        logits = [key for key in named if key == "logits" or key.endswith("_logits")]
        choice = getattr(config, "problem_type", None) not in _NO_CHOICE
        if logits:
            return tuple(Output(named[key], choice and named[key].shape[-1] > 1) for key in logits)
        if "last_hidden_state" in named:
            return (Output(named["last_hidden_state"], logits=False),)
        found = [value for key, value in named.items() if key != "loss"]
    else:
        several = isinstance(returned, tuple | list)
        found = [value for value in (returned if several else [returned]) if _is_floating(value)]
    if not found:
        raise ModelError(
            f"the model returns a {type(returned).__name__} without a floating-point tensor; "
            "recovery needs a module that returns tensors, in a tuple or by name"
        )
    return tuple(Output(value, logits=False) for value in found)


def _last_hidden_state(returned: Any) -> Tensor | None:
    found = returned.get("last_hidden_state") if isinstance(returned, Mapping) else None
    return found if isinstance(found, Tensor) else None


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
