"""A layer that meets its targets gives what the dense model gives, whatever its inputs became."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gossamer.models.torch_layers import find_layers
from gossamer.models.torch_walk import Walk

Arrays = dict[str, np.ndarray[Any, Any]]


def aimed(
    model: nn.Module, batches: list[Arrays], groups: list[list[str]], **options: Any
) -> tuple[dict[str, tuple[Tensor, Tensor | None]], list[list[str]]]:
    """Walk with a dense twin, halving the weights whose turn is over; inputs and targets."""
    dense = copy.deepcopy(model)
    layers = {found.layer.name: found for found in find_layers(model)}
    seen: dict[str, tuple[Tensor, Tensor | None]] = {}

    def record(name: str, inputs: Tensor, targets: Tensor | None) -> None:
        if targets is not None:
            assert inputs.shape[:-1] == targets.shape[:-1]
        before = seen.get(name)
        if before is not None:
            inputs = torch.cat([before[0], inputs], dim=-2)
            if targets is not None and before[1] is not None:
                targets = torch.cat([before[1], targets], dim=-2)
        seen[name] = inputs, targets

    order = []
    chosen = {name: layers[name] for group in groups for name in group}
    for group in Walk(model, batches, chosen, record, dense=dense, **options).run(groups):
        order.append(group)
        with torch.no_grad():
            for name in group:
                layers[name].parameter.mul_(0.5)
    return seen, order


def inside(model: nn.Module, batch: Arrays, name: str) -> Tensor:
    """Return what a module gives when its model runs a batch."""
    found: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda *call: found.append(call[2]))
    with torch.no_grad():
        model(**{key: torch.from_numpy(array) for key, array in batch.items()})
    handle.remove()
    (given,) = found
    return given


BLOCK = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
]
PARTS = [BLOCK[:3], [BLOCK[3]], [BLOCK[4]], [BLOCK[5]]]


def blocks(count: int = 3) -> list[list[str]]:
    return [[f"encoder.layer.{n}.{name}" for name in BLOCK] for n in range(count)]


@pytest.mark.parametrize("chains", [True, False])
def test_a_layer_s_target_is_what_it_gives_in_the_dense_model(
    bert: nn.Module, tokens: Arrays, chains: bool
) -> None:
    dense = copy.deepcopy(bert)
    seen, _ = aimed(bert, [tokens], blocks(), chains=chains)
    name = "encoder.layer.2.intermediate.dense"
    inputs, targets = seen[name]
    assert targets is not None
    keep = torch.from_numpy(tokens["attention_mask"] != 0)
    wanted = inside(dense, tokens, name)[keep] - dense.get_submodule(name).bias
    torch.testing.assert_close(targets, wanted, rtol=1e-4, atol=1e-5)
    assert inputs.shape == (int(keep.sum()), 16)


def test_with_a_residual_the_sum_is_the_dense_model_s(bert: nn.Module, tokens: Arrays) -> None:
    dense = copy.deepcopy(bert)
    seen, _ = aimed(bert, [tokens], blocks())
    name = "encoder.layer.1.attention.output"
    _, targets = seen[f"{name}.dense"]
    assert targets is not None
    keep = torch.from_numpy(tokens["attention_mask"] != 0)
    # In both models the residual of this sum is what the block is given.
    dense_sum = inside(dense, tokens, f"{name}.dense")
    dense_sum = dense_sum + inside(dense, tokens, "encoder.layer.0.output")
    residual = inside(bert, tokens, "encoder.layer.0.output")
    wanted = (dense_sum - residual)[keep] - dense.get_submodule(f"{name}.dense").bias
    torch.testing.assert_close(targets, wanted, rtol=1e-4, atol=1e-5)


def test_layers_with_the_same_inputs_are_shown_together_and_others_later(
    bert: nn.Module, tokens: Arrays
) -> None:
    shuffled = [[*reversed(block)] for block in blocks()]
    _, order = aimed(bert, [tokens], shuffled)
    assert order == [
        [f"encoder.layer.{n}.{name}" for name in part] for n in range(3) for part in PARTS
    ]


def test_pushing_through_blocks_equals_running_from_the_start(
    bert: nn.Module, tokens: Arrays
) -> None:
    halves = [
        {name: array[part] for name, array in tokens.items()} for part in (slice(0, 4), slice(4, 9))
    ]
    other = copy.deepcopy(bert)
    pushed, _ = aimed(bert, halves, blocks())
    restarted, _ = aimed(other, halves, blocks(), chains=False)
    for name, (inputs, targets) in pushed.items():
        if "query" not in name:
            # Run from the start, a block's layers are shown together, before any has changed.
            continue
        torch.testing.assert_close(inputs, restarted[name][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(targets, restarted[name][1], rtol=1e-4, atol=1e-5)


def test_the_dense_model_runs_once_however_many_parts_there_are(
    bert: nn.Module, tokens: Arrays
) -> None:
    finished: list[int] = []
    for layer in bert.encoder.layer:
        # The copy that becomes the twin keeps the hook.
        layer.output.dense.register_forward_hook(lambda *_: finished.append(1))
    aimed(bert, [tokens], blocks())
    # A look at the model, and at what enters the chain in both; then each block once dense, once
    # for its last layer, once to go on.
    assert len(finished) == 3 + 3 * 2 + 3 * 2 + 2


@pytest.mark.parametrize("name", ["stem", "grouped", "depthwise", "pointwise", "classifier"])
def test_targets_of_convolutions_lie_as_their_inputs_do(
    cnn: nn.Module, pixels: Arrays, name: str
) -> None:
    dense = copy.deepcopy(cnn)
    names = ["stem", "grouped", "depthwise", "pointwise", "classifier"]
    seen, _ = aimed(cnn, [pixels], [[each] for each in names])
    layer = next(found for found in find_layers(dense) if found.layer.name == name)
    _, targets = seen[name]
    assert targets is not None
    wanted = inside(dense, pixels, name)
    bias = dense.get_submodule(name).bias
    if bias is not None:
        wanted = wanted - bias.detach().reshape(-1, *[1] * (wanted.ndim - 2))
    if layer.layer.kind == "convolution":
        groups = layer.layer.groups
        wanted = wanted.reshape(6, groups, layer.layer.rows // groups, -1).permute(1, 0, 3, 2)
        wanted = wanted.reshape(groups, -1, wanted.shape[-1])
    torch.testing.assert_close(targets, wanted, rtol=1e-4, atol=1e-5)


class Choosing(nn.Module):
    """One of two layers sees a sample or not, as its size has it: as in a mixture of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.large = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        large = hidden.square().sum(dim=1) > 1.0
        output: Tensor = self.large(hidden[large])
        return output


def test_a_call_of_another_size_has_no_target() -> None:
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    seen, _ = aimed(Choosing().eval(), [{"x": x}], [["first"], ["large"]])
    assert seen["first"][1] is not None and seen["large"][1] is None
