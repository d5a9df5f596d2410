"""The prunable layers of a PyTorch module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gossamer.models.adapter import Layer, LeftOut
from gossamer.models.torch_forms import adapters

CONVOLUTIONS = {"conv1d": 1, "conv2d": 2}
"""The functions of convolutions, with the number of spatial axes."""


@dataclass(frozen=True)
class TorchLayer:
    """A layer with the parameter that holds its weight.

    Attributes:
        transposed: the parameter is `[columns, rows]`, as in transformers' Conv1D.
        bias: the layer's, or None; a module that is used in several places has one all the same.
    """

    layer: Layer
    parameter: nn.Parameter
    transposed: bool = False
    bias: nn.Parameter | None = None


def find_layers(model: nn.Module) -> list[TorchLayer]:
    """Return linear layers and 1-d and 2-d convolutions, in the order of definition.

    A module or weight that is used in several places counts once, under its first name. Left out
    are weights that are computed (`torch.nn.utils.parametrize`) and those inside
    `nn.MultiheadAttention`, which multiplies by them without calling their layers.
    """
    blocks = find_blocks(model)
    within = [name for name, module in model.named_modules() if _hides_layers(module)]
    for carrier in adapters(model):
        # An adapter's own matrices are narrow, and go when it is merged.
        parts = dict(model.get_submodule(carrier).named_children())
        within += [f"{carrier}.{part}" for part in parts if part != "base_layer"]
    found: dict[int, TorchLayer] = {}

    def add(name: str, weight: Any, groups: int, transposed: bool, bias: Any = None) -> None:
        if not isinstance(weight, nn.Parameter):
            return
        if id(weight) in found:
            known = found[id(weight)]
            if known.bias is not bias:
                # Another module ties the weight, but not the bias: it is nobody's alone.
                unbiased = replace(known.layer, bias=False)
                found[id(weight)] = replace(known, layer=unbiased, bias=None)
            return
        rows, columns = weight.shape[0], weight[0].numel()
        if transposed:
            rows, columns = columns, rows
        holders = [block for block in blocks if name.startswith(f"{block}.")]
        layer = Layer(
            name=name,
            kind="linear" if weight.ndim == 2 else "convolution",
            rows=rows,
            columns=columns,
            groups=groups,
            depthwise=weight.ndim > 2 and groups > 1 and weight.shape[1] == 1,
            block=holders[0] if holders else None,
            bias=isinstance(bias, nn.Parameter),
            kernel=tuple(weight.shape[2:]),
            itemsize=weight.element_size(),
        )
        own = bias if isinstance(bias, nn.Parameter) else None
        found[id(weight)] = TorchLayer(layer, weight, transposed, own)

    for name, module in model.named_modules():
        if any(name.startswith(f"{holder}.") for holder in within):
            continue
        if isinstance(module, nn.Linear):
            add(name, module.weight, 1, False, module.bias)
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            add(name, module.weight, module.groups, False, module.bias)
        elif _is_transformers_conv1d(module):
            add(name, module.weight, 1, True, module.bias)
    if isinstance(model, torch.fx.GraphModule):
        for node in model.graph.nodes:
            _add_node(model, node, add)
    owners = Counter(id(layer.bias) for layer in found.values() if layer.bias is not None)
    return [
        # A bias that two layers share is nobody's alone.
        replace(layer, layer=replace(layer.layer, bias=False), bias=None)
        if layer.bias is not None and owners[id(layer.bias)] > 1
        else layer
        for layer in found.values()
    ]


def left_out(model: nn.Module) -> list[LeftOut]:
    """Return the weights of two axes or more that no layer of `find_layers` holds."""
    held = {id(found.parameter) for found in find_layers(model)}
    carriers = adapters(model)
    found = []
    for name, parameter in model.named_parameters():
        if id(parameter) in held or parameter.ndim < 2:
            continue
        owner = name.rpartition(".")[0]
        module = model.get_submodule(owner)
        if any(owner.startswith(f"{carrier}.") for carrier in carriers):
            reason = "an adapter; merge it (merge_and_unload) to prune what it adds"
        elif _hides_layers(module) or ".parametrizations." in f".{name}":
            reason = "its weights are not seen where they are multiplied"
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            reason = "its weight is computed at every call"
        else:
            reason = "of a module's weights those of linear layers and 1-d and 2-d convolutions can"
        found.append(LeftOut(name, type(module).__name__, parameter.numel(), reason))
    return found


def find_blocks(model: nn.Module) -> list[str]:
    """Return the names of the outermost repeated blocks, in the order of definition.

    Blocks are the members of a list or sequence of modules that are all of one class and are made
    of other modules themselves. In an exported graph, whose modules are gone, they are the
    numbered parts of the names that hold several weights.
    """
    blocks: list[str] = []
    for name, module in model.named_modules():
        if any(name == block or name.startswith(f"{block}.") for block in blocks):
            continue
        members = list(module.named_children())
        exported = isinstance(model, torch.fx.GraphModule) and all(
            key.isdigit() and next(member.children(), None) for key, member in members
        )
        listed = isinstance(module, nn.ModuleList | nn.Sequential)
        alike = len({type(member) for _, member in members}) == 1
        composed = all(next(member.children(), None) is not None for _, member in members)
        if members and (exported or (listed and alike and composed)):
            blocks += [f"{name}.{key}".removeprefix(".") for key, _ in members]
    return blocks


def _hides_layers(module: nn.Module) -> bool:
    return isinstance(module, nn.MultiheadAttention) or torch.nn.utils.parametrize.is_parametrized(
        module
    )


def _is_transformers_conv1d(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def _add_node(
    model: torch.fx.GraphModule,
    node: torch.fx.Node,
    add: Callable[[str, Any, int, bool], None],
) -> None:
    """Add the layer that a node of an exported graph computes, if it is one."""
    operation = operation_of(node.target) if node.op == "call_function" else ""
    position = {"linear": 1, "conv1d": 1, "conv2d": 1, "addmm": 2}.get(operation)
    if position is None or len(node.args) <= position:
        return
    weight = node.args[position]
    if not isinstance(weight, torch.fx.Node) or weight.op != "get_attr":
        return
    target = str(weight.target)
    owner, _, attribute = target.rpartition(".")
    groups = 1
    if operation in CONVOLUTIONS and len(node.args) > 6:
        groups = int(node.args[6])  # type: ignore[arg-type]
    parameter = getattr(model.get_submodule(owner), attribute)
    add(target.removesuffix(".weight"), parameter, groups, operation == "addmm")


def operation_of(function: Any) -> str:
    """Return the name of a function or of an overload such as aten.linear.default."""
    return str(getattr(function, "__name__", "")).partition(".")[0]
