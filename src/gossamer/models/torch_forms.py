"""The forms in which a PyTorch module may come, and the plain one in which it is pruned.

Wrappers are looked through. Weights that are computed at every call (weight and spectral norm,
`torch.nn.utils.prune`, parametrizations) are computed once more, and for good, in a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from gossamer.errors import ModelError
from gossamer.user_code import describe

# Modules that run another one and add nothing to what it computes, by where they keep it.
_WRAPPERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.DataParallel, "module"),
    (nn.parallel.DistributedDataParallel, "module"),
    (torch.optim.swa_utils.AveragedModel, "module"),
)


def opened(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """Return the module that holds the layers, its weights plain parameters, and what to tell.

    The given module stays as it is; without computed weights it is what is returned, or within it.

    Raises:
        ModelError: if weights are missing (uninitialized, or on the meta device), sharded over
            processes, or hidden in a TorchScript module.
    """
    model = unwrapped(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "the model is a TorchScript module, whose layers cannot be seen; give the nn.Module "
            "that it was made from"
        )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        check_present(name, tensor)
    computed = computed_weights(model)
    if not computed:
        return model, []
    plain = copied(model)
    # In training mode spectral norm would take another step each time.
    modes = [(module, module.training) for module in plain.modules()]
    plain.eval()
    for module in list(plain.modules()):
        _settle(module)
    for module, training in modes:
        module.training = training
    first, *more = computed
    others = f" and {len(more)} more" if more else ""
    return plain, [
        f"The weights of '{first}'{others} were computed at every call (weight or spectral norm, "
        "torch.nn.utils.prune or another parametrization); in the result they are parameters, and "
        "what computed them is gone."
    ]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module within DataParallel, `torch.compile` and the like, or the module itself."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        for kind, attribute in _WRAPPERS:
            if isinstance(model, kind):
                inner = getattr(model, attribute)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy, also of a module that keeps results of its last call.

    Raises:
        ModelError: if it holds something else that cannot be copied.
    """
    # Results that remember how they were made cannot be copied; what they were made of is.
    kept = {
        id(tensor): tensor.detach().clone()
        for module in model.modules()
        for tensor in _tensors(vars(module))
        if not tensor.is_leaf
    }
    try:
        return copy.deepcopy(model, kept)
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied ({describe(error)}); give a module whose tensors are "
            "its own parameters and buffers"
        ) from error


def computed_weights(model: nn.Module) -> list[str]:
    """Return the names of the modules whose weights are computed at every call."""
    return [name for name, module in model.named_modules() if _is_computed(module)]


def adapters(model: nn.Module) -> list[str]:
    """Return the names of the layers that carry an adapter beside their own weight (PEFT)."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(getattr(module, "base_layer", None), nn.Module) and hasattr(module, "merge")
    ]


def check_present(name: str, tensor: Tensor) -> None:
    """See that a parameter or buffer has its values here.

    Raises:
        ModelError: if it is uninitialized, on the meta device, or sharded over processes.
    """
    if is_lazy(tensor):
        raise ModelError(
            f"'{name}' has no values yet: it takes its size from the first batch; run one through "
            "the model first"
        )
    if tensor.is_meta:
        raise ModelError(
            f"'{name}' is on the meta device, without values; load the model's weights whole, into "
            "memory"
        )
    if type(tensor.data).__name__ == "DTensor":
        raise ModelError(
            f"'{name}' is sharded over processes; give the model as one process holds it whole, as "
            "with DistributedDataParallel"
        )


def _is_computed(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module) or any(True for _ in _hooks(module))


def _hooks(module: nn.Module) -> Iterator[WeightNorm | SpectralNorm | prune.BasePruningMethod]:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm | SpectralNorm | prune.BasePruningMethod):
            yield hook


def _settle(module: nn.Module) -> None:
    """Make parameters of a module's computed weights, in place."""
    with torch.no_grad():
        if parametrize.is_parametrized(module):
            _remove_parametrizations(module)
        for hook in list(_hooks(module)):
            if isinstance(hook, WeightNorm):
                nn.utils.remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                nn.utils.remove_spectral_norm(module, hook.name)
            else:
                prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]


def _remove_parametrizations(module: nn.Module) -> None:
    """Make parameters of what parametrizations compute.

    `parametrize.remove_parametrizations` would take the property from the class, which the given
    module shares with its copy.
    """
    parametrizations = module._modules["parametrizations"]
    assert isinstance(parametrizations, nn.ModuleDict)
    values = {
        name: nn.Parameter(
            getattr(module, name).detach().clone(),
            requires_grad=any(one.requires_grad for one in made.parameters()),
        )
        for name, made in parametrizations.items()
    }
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    for name, value in values.items():
        # Recurrent layers keep a list of their weights, which follows what is set.
        setattr(module, name, value)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
