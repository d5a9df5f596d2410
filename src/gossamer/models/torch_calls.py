"""The calls of a PyTorch module's layers: what they are given, what they give, what is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from gossamer.models.torch_layers import CONVOLUTIONS, TorchLayer, operation_of
from gossamer.models.unfold import unfold

_IN_PLACE = ("add_", "__iadd__")
_ADDITIONS = ("add", "__add__", "__radd__", *_IN_PLACE)


class LayerCall:
    """One use of a layer.

    Args:
        layer: that is used.
        operation: `linear`, `addmm`, `conv1d` or `conv2d`.
        args: of the operation.
        kwargs: of the operation.
        number: of calls of the layer before, in the same run.

    Attributes:
        inputs: `[..., columns]`, or `[samples, channels, ...]` of a convolution.
        bias: `[rows]`, or None.
        output: once it is there.
    """

    def __init__(
        self,
        layer: TorchLayer,
        operation: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        number: int = 0,
    ) -> None:
        self.layer = layer
        self.number = number
        self.output: Tensor | None = None
        self._operation, self._args, self._kwargs = operation, args, kwargs
        if operation == "addmm":
            self.inputs: Tensor = self._argument(1, "mat1")
            self.bias: Tensor | None = self._argument(0, "input")
        else:
            self.inputs = self._argument(0, "input")
            self.bias = self._argument(2, "bias")

    def pieces(self) -> Iterator[Tensor]:
        """Yield the inputs: `[..., columns]`, or of a convolution `[groups, n, columns]` a time."""
        if self._operation not in CONVOLUTIONS:
            yield self.inputs
            return
        axes = CONVOLUTIONS[self._operation]
        inputs = self.inputs if self.inputs.ndim == axes + 2 else self.inputs.unsqueeze(0)
        kernel = self.layer.parameter.shape[2:]
        dilation = _each_axis(self._argument(5, "dilation", 1), axes)
        yield from unfold(
            inputs,
            kernel,
            stride=_each_axis(self._argument(3, "stride", 1), axes),
            padding=_padding(self._argument(4, "padding", 0), kernel, dilation),
            dilation=dilation,
            groups=self.layer.layer.groups,
        )

    def rows_of(self, outputs: Tensor) -> Tensor:
        """Return outputs of the call, or what is to replace them, as its inputs' pieces lie.

        That is `[..., rows]`, or of a convolution `[groups, n, rows / groups]`, n over all pieces.
        """
        if self._operation not in CONVOLUTIONS:
            return outputs.reshape(*self.inputs.shape[:-1], self.layer.layer.rows)
        axes, groups = CONVOLUTIONS[self._operation], self.layer.layer.groups
        samples = 1 if self.inputs.ndim == axes + 1 else self.inputs.shape[0]
        grouped = outputs.reshape(samples, groups, self.layer.layer.rows // groups, -1)
        return grouped.permute(1, 0, 3, 2).reshape(groups, -1, self.layer.layer.rows // groups)

    def _argument(self, position: int, name: str, default: Any = None) -> Any:
        if len(self._args) > position:
            return self._args[position]
        return self._kwargs.get(name, default)


class LayerCalls(TorchFunctionMode):
    """While active, shows the calls of chosen layers.

    Layers are known by their weight as it reaches `linear`, `conv1d`, `conv2d` or `addmm`; so
    shared modules, tied weights, functional calls and exported graphs are all seen.

    Args:
        layers: the layers to watch.
        entered: receives each call before it is made.
        left: receives each call with its output.
        added: receives a call, what its output is added to, and the sum: when the output, or a view
            of it, is an operand of an addition to something of the same size.
    """

    def __init__(
        self,
        layers: Sequence[TorchLayer],
        *,
        entered: Callable[[LayerCall], None] | None = None,
        left: Callable[[LayerCall], None] | None = None,
        added: Callable[[LayerCall, Tensor, Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self._by_weight = {id(layer.parameter): layer for layer in layers}
        self._entered, self._left, self._added = entered, left, added
        self._calls: Counter[int] = Counter()
        # By the address of their output, which stays taken as long as the call is held here.
        self._waiting: dict[int, LayerCall] = {}

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at one call and let it through; the mode does not see what is done meanwhile."""
        kwargs = kwargs or {}
        operation = operation_of(func)
        if self._waiting and _changes(operation, kwargs) and args and isinstance(args[0], Tensor):
            # What is added afterwards is added to something else.
            self._waiting.pop(args[0].data_ptr(), None)
        if operation in _ADDITIONS and self._waiting:
            return self._add(func, args, kwargs, in_place=operation in _IN_PLACE)
        layer = self._layer(operation, args, kwargs)
        if layer is None:
            return func(*args, **kwargs)
        call = LayerCall(layer, operation, args, kwargs, self._calls[id(layer)])
        self._calls[id(layer)] += 1
        if self._entered is not None:
            self._entered(call)
        call.output = func(*args, **kwargs)
        if self._left is not None:
            self._left(call)
        if self._added is not None:
            self._waiting[call.output.data_ptr()] = call
        return call.output

    def _layer(
        self, operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> TorchLayer | None:
        if operation not in ("linear", "addmm", *CONVOLUTIONS):
            return None
        position, name = (2, "mat2") if operation == "addmm" else (1, "weight")
        weight = args[position] if len(args) > position else kwargs.get(name)
        return self._by_weight.get(id(weight))

    def _add(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, in_place: bool
    ) -> Any:
        """Make an addition, and tell of it if it adds to a layer's output and nothing else."""
        operands = [operand for operand in args if isinstance(operand, Tensor)]
        told = None
        if len(operands) == 2 and not kwargs and operands[0].shape == operands[1].shape:
            for operand, other in zip(operands, reversed(operands), strict=True):
                call = self._waiting.get(operand.data_ptr())
                if call is not None and _in_order(operand, call.output):
                    told = call, other.clone() if in_place else other
                    break
        total = func(*args, **kwargs)
        if told is not None and self._added is not None:
            call, other = told
            assert call.output is not None
            del self._waiting[call.output.data_ptr()]
            self._added(call, other, total)
        return total


def _changes(operation: str, kwargs: Mapping[str, Any]) -> bool:
    """Return whether an operation other than an addition overwrites its first operand."""
    named = operation.endswith("_") and not operation.endswith("__")
    inplace = operation.startswith("__i") or bool(kwargs.get("inplace"))
    return (named or inplace) and operation not in _IN_PLACE


def _in_order(operand: Tensor, output: Tensor | None) -> bool:
    """Return whether an operand at an output's address has all its elements in their order."""
    if output is None or operand.numel() != output.numel():
        return False
    same = operand.shape == output.shape and operand.stride() == output.stride()
    return same or (operand.is_contiguous() and output.is_contiguous())


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
