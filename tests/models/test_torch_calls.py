from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gossamer.models.torch_calls import LayerCall, LayerCalls
from gossamer.models.torch_layers import find_layers

Added = list[tuple[str, Tensor, Tensor]]


def watch(model: nn.Module, x: Tensor) -> tuple[list[LayerCall], Added]:
    """Run a model; return the calls of its layers, and what was added to their outputs."""
    calls: list[LayerCall] = []
    sums: Added = []

    def added(call: LayerCall, other: Tensor, total: Tensor) -> None:
        sums.append((call.layer.layer.name, other.clone(), total.clone()))

    with torch.no_grad(), LayerCalls(find_layers(model), left=calls.append, added=added):
        model(x)
    return calls, sums


@pytest.mark.parametrize("name", ["stem", "grouped", "depthwise", "pointwise", "classifier"])
def test_inputs_times_weight_plus_bias_are_the_outputs(cnn: nn.Module, name: str) -> None:
    calls, _ = watch(cnn, torch.randn(6, 3, 9, 8))
    (call,) = (call for call in calls if call.layer.layer.name == name)
    layer = call.layer.layer
    inputs = torch.cat(list(call.pieces()), dim=-2)
    weight = call.layer.parameter.detach().reshape(layer.groups, -1, layer.columns)
    got = inputs @ (weight.mT if layer.kind == "convolution" else weight[0].T)
    if call.bias is not None:
        shape = (layer.groups, 1, -1) if layer.kind == "convolution" else (-1,)
        got = got + call.bias.detach().reshape(shape)
    assert call.output is not None
    torch.testing.assert_close(got, call.rows_of(call.output), rtol=1e-4, atol=1e-5)


class Residual(nn.Module):
    """A layer whose output meets a residual in one way or another."""

    def __init__(self, meet: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.meet = meet

    def forward(self, x: Tensor) -> Tensor:
        return self.meet(self.drop(self.layer(x)), x.clone())


@pytest.mark.parametrize(
    "meet",
    [
        lambda y, x: y + x,
        lambda y, x: x + y,
        lambda y, x: torch.add(x, y),
        lambda y, x: x.add_(y),
        lambda y, x: y.add_(x),
        lambda y, x: x.__iadd__(y),
        lambda y, x: x.reshape(10, 4) + y.view(10, 4),
    ],
)
def test_what_is_added_to_an_output_is_seen(meet: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = Residual(meet).eval()
    x = torch.randn(2, 5, 4)
    _, sums = watch(model, x)
    ((name, other, total),) = sums
    assert name == "layer"
    torch.testing.assert_close(other.reshape(x.shape), x)
    with torch.no_grad():
        torch.testing.assert_close(total.reshape(x.shape), model.layer(x) + x)


@pytest.mark.parametrize(
    "meet",
    [
        lambda y, x: y * 2 + x,
        lambda y, x: torch.add(y, x, alpha=2),
        lambda y, x: y + 1,
        lambda y, x: y + x[:, :1],
        lambda y, x: y - x,
        lambda y, x: y.transpose(1, 2) + x.transpose(1, 2),
        lambda y, x: y.mul_(2) + x,
        lambda y, x: nn.functional.relu(y, inplace=True) + x,
    ],
    ids=[
        "scaled",
        "weighted",
        "number",
        "broadcast",
        "difference",
        "transposed",
        "scaled in place",
        "activated in place",
    ],
)
def test_other_ways_to_meet_are_no_sums(meet: Callable[[Tensor, Tensor], Tensor]) -> None:
    _, sums = watch(Residual(meet).eval(), torch.randn(2, 5, 4))
    assert not sums


def test_a_call_can_be_refused_before_it_is_made(cnn: nn.Module) -> None:
    class StopError(Exception):
        pass

    def entered(call: LayerCall) -> None:
        assert call.output is None
        raise StopError

    with pytest.raises(StopError), LayerCalls(find_layers(cnn), entered=entered):
        cnn(torch.randn(1, 3, 9, 8))
