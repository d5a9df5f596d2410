"""Masks that keep the zeros of a PyTorch module through any training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gossamer.errors import OptionError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

# Wrappers put their own names before a module's: DistributedDataParallel and torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")


class Masks(Mapping[str, "Tensor"]):
    """Boolean masks by parameter name; False is a weight that stays zero.

    The names are those of the module itself: a wrapper around it (DistributedDataParallel,
    `torch.compile`) may come and go. A tied weight has one mask, under its first name.

    Args:
        masks: each of its parameter's shape.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self._masks = {name: mask.bool() for name, mask in masks.items()}

    @classmethod
    def of_zeros(cls, model: nn.Module, layers: Iterable[str] | None = None) -> Masks:
        """Return the masks of the zeros that a model has now.

        Args:
            model: a sparse module.
            layers: names of the layers to hold; by default every prunable layer
                (`gossamer.models.torch_layers.find_layers`) that has a zero.

        Raises:
            OptionError: if a name is no prunable layer's.
        """
        from gossamer.models.torch_layers import find_layers

        found = {layer.layer.name: layer for layer in find_layers(model)}
        wanted = list(found) if layers is None else list(layers)
        for name in wanted:
            if name not in found:
                raise OptionError(f"the model has no prunable layer '{name}'; see gossamer inspect")
        names = {id(parameter): name for name, parameter in named_parameters(model)}
        masks = {}
        for layer in (found[name] for name in wanted):
            mask = layer.parameter.detach() != 0
            if layer.padding is not None:
                # Zero from the start, not for being sparse; it has no gradient.
                mask[layer.padding] = True
            if not mask.all():
                masks[names[id(layer.parameter)]] = mask
        return cls(masks)

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def apply(self, model: nn.Module) -> None:
        """Set the masked weights of `model` to zero, in place.

        Raises:
            OptionError: if the model lacks a masked parameter, or has it in another shape.
        """
        import torch

        parameters = dict(named_parameters(model))
        for name, mask in self._masks.items():
            parameter = parameters.get(name)
            if parameter is None or parameter.shape != mask.shape:
                raise OptionError(
                    f"the masks do not fit the model: it has no parameter '{name}' of shape "
                    f"{tuple(mask.shape)}; take the masks of this very model"
                )
            if mask.device != parameter.device:
                mask = self._masks[name] = mask.to(parameter.device)
            with torch.no_grad():
                # Not a product: an infinite or NaN weight would stay.
                parameter.masked_fill_(~mask, 0)

    def hold(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Apply the masks after every step of an optimizer, whatever its momentum and decay do.

        Returns:
            A handle whose `remove()` lets the weights go.
        """
        self.apply(model)
        return optimizer.register_step_post_hook(lambda *_: self.apply(model))


def named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield a module's parameters, each once, under the names they have without wrappers."""
    yield from unwrapped(model).named_parameters()


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module within DistributedDataParallel and `torch.compile`, or the module itself.

    A wrapper is known by having one child, under the wrapper's own name.
    """
    names = [wrapper.removesuffix(".") for wrapper in _WRAPPERS]
    while True:
        children = dict(model.named_children())
        name = next(iter(children), None)
        if len(children) != 1 or name not in names:
            return model
        model = children[name]
