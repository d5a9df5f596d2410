"""The prunable layers of a PyTorch module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.models.adapter import Layer, LeftOut
from gossamer.models.torch_forms import adapters, computed_weights
from gossamer.models.torch_gainless import Gainless, gainless

CONVOLUTIONS = {"conv1d": 1, "conv2d": 2}
"""The functions of convolutions, with the number of spatial axes."""


@dataclass(frozen=True)
class TorchLayer:
    """A layer with the parameter that holds its weight.

    Attributes:
        view: axes as which the parameter is read.
        order: in which they follow in the matrix, rows first; `(1, 0)` in transformers' Conv1D.
        bias: the layer's, or None; a module that is used in several places has one all the same.
        padding: a row that is zero whatever is pruned; None where there is no such.
    """

    layer: Layer
    parameter: nn.Parameter
    view: tuple[int, ...]
    order: tuple[int, ...]
    bias: nn.Parameter | None = None
    padding: int | None = None

    def matrix(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the parameter's shape as `[rows, columns]`; a view if it can be."""
        axes = tensor.reshape(self.view).permute(self.order)
        return axes.reshape(self.layer.rows, self.layer.columns)

    def unfolded(self, matrix: Tensor) -> Tensor:
        """Return `[rows, columns]` in the parameter's shape."""
        axes = matrix.reshape([self.view[axis] for axis in self.order])
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return axes.permute(back).reshape(self.parameter.shape)


def find_layers(model: nn.Module) -> list[TorchLayer]:
    """Return the layers, in the order of definition.

    They are linear layers and 1-d and 2-d convolutions and, without gain, what `gainless` yields.
    A module or weight that is used in several places counts once, under its first name; what ties
    its weight to a linear layer is that one. Left out are weights that are computed
    (`torch.nn.utils.parametrize`) and those inside `nn.MultiheadAttention`, which multiplies by
    them without calling their layers.
    """
    blocks = find_blocks(model)
    within = [name for name, module in model.named_modules() if _hides_layers(module)]
    for carrier in adapters(model):
        # An adapter's own matrices are narrow, and go when it is merged.
        parts = dict(model.get_submodule(carrier).named_children())
        within += [f"{carrier}.{part}" for part in parts if part != "base_layer"]
    found: dict[int, TorchLayer] = {}
    # The module that each is found in.
    homes: dict[int, str] = {}

    def holder_of(name: str) -> str | None:
        return next((block for block in blocks if name.startswith(f"{block}.")), None)

    def add(name: str, weight: Any, groups: int, transposed: bool, bias: Any = None) -> None:
        if not isinstance(weight, nn.Parameter) or not _is_prunable(weight):
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
        layer = Layer(
            name=name,
            kind="linear" if weight.ndim == 2 else "convolution",
            rows=rows,
            columns=columns,
            groups=groups,
            depthwise=weight.ndim > 2 and groups > 1 and weight.shape[1] == 1,
            block=holder_of(name),
            bias=isinstance(bias, nn.Parameter),
            kernel=tuple(weight.shape[2:]),
            itemsize=weight.element_size(),
        )
        own = bias if isinstance(bias, nn.Parameter) else None
        view, order = ((columns, rows), (1, 0)) if transposed else ((rows, columns), (0, 1))
        found[id(weight)] = TorchLayer(layer, weight, view, order, own)
        homes[id(weight)] = name

    def add_gainless(owner: str, module: nn.Module, form: Gainless) -> None:
        weight = getattr(module, form.attribute)
        if id(weight) in found or not _is_prunable(weight):
            return
        name = owner if form.attribute == "weight" else f"{owner}.{form.attribute}"
        layer = Layer(
            name=name.removeprefix("."),
            kind=form.kind,
            rows=form.rows,
            columns=weight.numel() // form.rows,
            groups=form.groups,
            depthwise=form.depthwise,
            block=holder_of(name),
            kernel=form.kernel,
            itemsize=weight.element_size(),
            gain=False,
        )
        found[id(weight)] = TorchLayer(layer, weight, form.view, form.order, padding=form.padding)
        homes[id(weight)] = owner

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
    else:
        computed = set(computed_weights(model))
        for name, module in model.named_modules():
            if name not in computed and not any(name.startswith(f"{one}.") for one in within):
                for form in gainless(module):
                    add_gainless(name, module, form)
        place = {name: index for index, (name, _) in enumerate(model.named_modules())}
        found = dict(sorted(found.items(), key=lambda item: place[homes[item[0]]]))
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
        elif not _is_prunable(parameter):
            reason = f"its weight has no element, or elements of {parameter.dtype}"
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            reason = "its weight is computed at every call"
        else:
            reason = "how this module uses its weight is not known"
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


def _is_prunable(weight: Tensor) -> bool:
    """Whether a weight holds real numbers that torch can calculate with: not float8, for one."""
    return weight.is_floating_point() and weight.element_size() > 1 and weight.numel() > 0


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
