"""What the layers of a sparse module should give: what they give in the dense one, and more.

Where a layer's output is added to a residual, the sum is what counts: the target is the dense sum
minus the sparse residual, so that each such layer also makes up for what the layers before it lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gossamer.models.torch_calls import LayerCall, LayerCalls
from gossamer.models.torch_layers import TorchLayer


@dataclass(frozen=True)
class Target:
    """What one call should give, itself or together with the residual that is added to it."""

    value: Tensor
    is_sum: bool


@dataclass
class DenseCalls:
    """The targets of each layer's calls in one run of the dense module.

    Attributes:
        targets: by the layer's name, in the order of its calls.
        entering: the layers, in the order of their first calls, with what they were given.
    """

    targets: dict[str, list[Target]] = field(default_factory=dict)
    entering: dict[str, Tensor] = field(default_factory=dict)

    def watching(self, layers: Sequence[TorchLayer]) -> LayerCalls:
        """Return the context in which to run the dense module.

        Args:
            layers: those of the dense module whose targets are wanted.
        """

        def left(call: LayerCall) -> None:
            name = call.layer.layer.name
            known = self.targets.setdefault(name, [])
            assert call.output is not None
            # What follows may be done in place.
            known.append(Target(call.rows_of(call.output.clone()), is_sum=False))
            self.entering.setdefault(name, call.inputs)

        def added(call: LayerCall, other: Tensor, total: Tensor) -> None:
            self.targets[call.layer.layer.name][call.number] = Target(
                call.rows_of(total.clone()), is_sum=True
            )

        return LayerCalls(layers, left=left, added=added)

    def parts(self, names: Sequence[str]) -> list[list[str]]:
        """Return the names in the order of their calls, those that share their inputs together."""
        parts: list[list[str]] = []
        before: Tensor | None = None
        for name, inputs in self.entering.items():
            if name not in names:
                continue
            if before is not None and _same(before, inputs):
                parts[-1].append(name)
            else:
                parts.append([name])
            before = inputs
        rest = [name for name in names if name not in self.entering]
        return [*parts, *([rest] if rest else [])]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


Finished = Callable[[LayerCall, Tensor | None], None]
"""Receives a call and its target as `LayerCall.rows_of` gives it, without the bias; or None."""


class Aiming:
    """Pairs the calls of a run of the sparse module with the targets of the same run when dense.

    A call that the dense run did not make, or made in another size, has no target.

    Args:
        targets: see `DenseCalls`.
        finished: receives each call, when what its target needs is known.
    """

    def __init__(self, targets: Mapping[str, Sequence[Target]], finished: Finished) -> None:
        self._targets = targets
        self._finished = finished
        self._open: dict[int, tuple[LayerCall, Target]] = {}

    def watching(self, layers: Sequence[TorchLayer]) -> LayerCalls:
        """Return the context in which to run the sparse module."""
        return LayerCalls(layers, left=self._left, added=self._added)

    def close(self) -> None:
        """Finish the calls whose sum never came."""
        for call, _ in self._open.values():
            self._finished(call, None)
        self._open.clear()

    def _left(self, call: LayerCall) -> None:
        name = call.layer.layer.name
        assert call.output is not None
        target = next(iter(self._targets.get(name, ())[call.number : call.number + 1]), None)
        if target is None or target.value.numel() != call.output.numel():
            self._finished(call, None)
        elif target.is_sum:
            self._open[id(call)] = call, target
        else:
            self._finished(call, _without_bias(call, target.value.float()))

    def _added(self, call: LayerCall, other: Tensor, total: Tensor) -> None:
        _, target = self._open.pop(id(call), (call, None))
        if target is not None:
            wanted = target.value.float() - call.rows_of(other).float()
            self._finished(call, _without_bias(call, wanted))


def _without_bias(call: LayerCall, target: Tensor) -> Tensor:
    if call.bias is None:
        return target
    bias = call.bias.float()
    layer = call.layer.layer
    return target - (bias if layer.kind == "linear" else bias.reshape(layer.groups, 1, -1))


def in_pieces(call: LayerCall, target: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield a call's inputs piece by piece, each with its part of the target."""
    start = 0
    for piece in call.pieces():
        if target is None or call.layer.layer.kind == "linear":
            yield piece, target
            continue
        end = start + piece.shape[1]
        yield piece, target[:, start:end]
        start = end
