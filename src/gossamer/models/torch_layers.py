"""The prunable layers of a PyTorch module, and what flows into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gossamer.models.adapter import Layer
from gossamer.models.unfold import unfold

_CONVOLUTIONS = {"conv1d": 1, "conv2d": 2}


@dataclass(frozen=True)
class TorchLayer:
    """A layer with the parameter that holds its weight.

    Attributes:
        transposed: the parameter is `[columns, rows]`, as in transformers' Conv1D.
    """

    layer: Layer
    parameter: nn.Parameter
    transposed: bool = False


def find_layers(model: nn.Module) -> list[TorchLayer]:
    """Return linear layers and 1-d and 2-d convolutions, in the order of definition.

    A module or weight that is used in several places counts once, under its first name. Left out
    are weights that are computed (`torch.nn.utils.parametrize`) and those inside
    `nn.MultiheadAttention`, which multiplies by them without calling their layers.
    """
    blocks = find_blocks(model)
    within = [name for name, module in model.named_modules() if _hides_layers(module)]
    found: dict[int, TorchLayer] = {}

    def add(name: str, weight: Any, groups: int, transposed: bool) -> None:
        if not isinstance(weight, nn.Parameter) or id(weight) in found:
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
            kernel=tuple(weight.shape[2:]),
            itemsize=weight.element_size(),
        )
        found[id(weight)] = TorchLayer(layer, weight, transposed)

    for name, module in model.named_modules():
        if any(name.startswith(f"{holder}.") for holder in within):
            continue
        if isinstance(module, nn.Linear):
            add(name, module.weight, 1, False)
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            add(name, module.weight, module.groups, False)
        elif _is_transformers_conv1d(module):
            add(name, module.weight, 1, True)
    if isinstance(model, torch.fx.GraphModule):
        for node in model.graph.nodes:
            _add_node(model, node, add)
    return list(found.values())


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
    operation = _operation(node.target) if node.op == "call_function" else ""
    position = {"linear": 1, "conv1d": 1, "conv2d": 1, "addmm": 2}.get(operation)
    if position is None or len(node.args) <= position:
        return
    weight = node.args[position]
    if not isinstance(weight, torch.fx.Node) or weight.op != "get_attr":
        return
    target = str(weight.target)
    owner, _, attribute = target.rpartition(".")
    groups = 1
    if operation in _CONVOLUTIONS and len(node.args) > 6:
        groups = int(node.args[6])  # type: ignore[arg-type]
    parameter = getattr(model.get_submodule(owner), attribute)
    add(target.removesuffix(".weight"), parameter, groups, operation == "addmm")


def _operation(function: Any) -> str:
    """Return the name of a function or of an overload such as aten.linear.default."""
    return str(getattr(function, "__name__", "")).partition(".")[0]


class LayerInputs(TorchFunctionMode):
    """While active, shows the inputs of chosen layers.

    Layers are known by their weight as it reaches `linear`, `conv1d`, `conv2d` or `addmm`; so
    shared modules, tied weights, functional calls and exported graphs are all seen.

    Args:
        layers: the layers to watch.
        seen: receives a layer's name and its inputs as `[..., columns]`, or for convolutions
            `[groups, n, columns]` in several pieces.
        called: receives a layer's name after each use.
    """

    def __init__(
        self,
        layers: Sequence[TorchLayer],
        seen: Callable[[TorchLayer, Tensor], None],
        called: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._by_weight = {id(layer.parameter): layer for layer in layers}
        self._seen = seen
        self._called = called

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at one call and let it through."""
        kwargs = kwargs or {}
        operation = _operation(func)
        if operation in ("linear", "addmm", *_CONVOLUTIONS):
            self._look(operation, args, kwargs)
        return func(*args, **kwargs)

    def _look(self, operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        def argument(position: int, name: str, default: Any = None) -> Any:
            return args[position] if len(args) > position else kwargs.get(name, default)

        if operation == "addmm":
            weight, inputs = argument(2, "mat2"), argument(1, "mat1")
        else:
            weight, inputs = argument(1, "weight"), argument(0, "input")
        layer = self._by_weight.get(id(weight))
        if layer is None:
            return
        # The mode must not see what is done to look at the inputs; torch pauses it here.
        if operation not in _CONVOLUTIONS:
            self._seen(layer, inputs)
        else:
            axes = _CONVOLUTIONS[operation]
            if inputs.ndim == axes + 1:
                inputs = inputs.unsqueeze(0)
            kernel = weight.shape[2:]
            dilation = _each_axis(argument(5, "dilation", 1), axes)
            for piece in unfold(
                inputs,
                kernel,
                stride=_each_axis(argument(3, "stride", 1), axes),
                padding=_padding(argument(4, "padding", 0), kernel, dilation),
                dilation=dilation,
                groups=layer.layer.groups,
            ):
                self._seen(layer, piece)
        if self._called is not None:
            self._called(layer.layer.name)


def _each_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _padding(
    padding: str | int | Sequence[int], kernel: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the zeros before and after each axis; "same" puts the odd one after, as torch does."""
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):
        totals = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(zeros, zeros) for zeros in _each_axis(padding, len(kernel))]
