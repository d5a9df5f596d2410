from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gossamer.models.torch_layers import find_layers
from gossamer.models.torch_walk import Walk

Arrays = dict[str, np.ndarray[Any, Any]]


def walked(
    model: nn.Module, batches: list[Arrays], groups: list[list[str]], **options: Any
) -> tuple[dict[str, Tensor], list[list[str]]]:
    """Walk through a model, halving each group's weights when its turn is over."""
    layers = {found.layer.name: found for found in find_layers(model)}
    seen: dict[str, Tensor] = {}

    def record(name: str, inputs: Tensor, targets: Tensor | None) -> None:
        assert targets is None
        part = inputs.reshape(-1, inputs.shape[-1])
        seen[name] = torch.cat([seen[name], part]) if name in seen else part

    order = []
    chosen = {name: layers[name] for group in groups for name in group}
    for group in Walk(model, batches, chosen, record, **options).run(groups):
        order.append(group)
        with torch.no_grad():
            for name in group:
                layers[name].parameter.mul_(0.5)
    return seen, order


def blocks_of(model: nn.Module) -> list[list[str]]:
    groups: dict[Any, list[str]] = {}
    for found in find_layers(model):
        if found.layer.gain:
            groups.setdefault(found.layer.block or found.layer.name, []).append(found.layer.name)
    return list(groups.values())


def halves(tokens: Arrays) -> list[Arrays]:
    return [
        {name: array[part] for name, array in tokens.items()} for part in np.split(np.r_[:10], 2)
    ]


def test_pushing_hidden_states_equals_running_from_the_start(
    bert: nn.Module, tokens: Arrays
) -> None:
    import copy

    groups = blocks_of(bert)
    other = copy.deepcopy(bert)
    pushed, order = walked(bert, halves(tokens), groups)
    restarted, same_order = walked(other, halves(tokens), groups, chains=False)
    assert order == same_order == groups
    assert pushed.keys() == restarted.keys()
    for name, inputs in pushed.items():
        torch.testing.assert_close(inputs, restarted[name], rtol=1e-5, atol=1e-6)


def test_a_chain_costs_three_runs_however_many_blocks(bert: nn.Module, tokens: Arrays) -> None:
    calls = dict.fromkeys(range(3), 0)
    for n, block in enumerate(bert.encoder.layer):
        block.register_forward_pre_hook(lambda m, a, n=n: calls.__setitem__(n, calls[n] + 1))
    walked(bert, [tokens], [group for group in blocks_of(bert) if "encoder" in group[0]])
    # One run to look at the model, one for what enters the chain; then each block once dense and
    # once sparse.
    assert calls == {0: 4, 1: 4, 2: 3}


def test_later_layers_see_the_changes_of_earlier_ones(cnn: nn.Module, pixels: Arrays) -> None:
    with torch.no_grad():
        before = cnn.stem(torch.from_numpy(pixels["pixels"])).relu()
    seen, order = walked(cnn, [pixels], [["pointwise"], ["stem"], ["grouped"]])
    assert order == [["stem"], ["grouped"], ["pointwise"]]
    with torch.no_grad():
        after = cnn.stem(torch.from_numpy(pixels["pixels"])).relu()
    assert not torch.allclose(before, after)
    assert seen["grouped"].max() == pytest.approx(float(after.max()), rel=1e-5)


class Twisted(nn.Module):
    """Blocks whose hidden state is changed on the way: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x) + 1
        return x


def test_blocks_that_do_not_follow_each_other_directly_are_still_walked_rightly() -> None:
    model = Twisted()
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    seen, order = walked(model, [{"x": x}], blocks_of(model))
    assert len(order) == 3
    with torch.no_grad():
        expected = model.layers[1](model.layers[0](torch.from_numpy(x)) + 1) + 1
    torch.testing.assert_close(seen["layers.2.0"], expected)


class Changing(Twisted):
    """The same function, but the hidden state, or what goes beside it, is changed in place."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        for layer in self.layers:
            layer.register_forward_pre_hook(self.before)

    def before(self, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self.where == "within" and layer is not self.layers[0]:
            args[0].add_(1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            if self.where == "between":
                x += 1
        return x


@pytest.mark.parametrize("where", ["between", "within"])
def test_what_is_changed_in_place_is_seen_as_the_model_sees_it(where: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    model, other = Changing(where), Twisted()
    other.load_state_dict(model.state_dict())
    seen, _ = walked(model, [{"x": x}], blocks_of(model))
    expected, _ = walked(other, [{"x": x}], blocks_of(other))
    for name, inputs in expected.items():
        torch.testing.assert_close(seen[name], inputs)


class Shifting(nn.Module):
    """Blocks that are all given one tensor, which is changed in place after each of them."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.layers = nn.ModuleList(Shifted() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        shift = torch.ones_like(x)
        for layer in self.layers:
            x = layer(x, shift)
            shift = shift.mul_(2) if self.in_place else shift * 2
        return x


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        total: Tensor = self.linear(x + shift)
        return total


def test_an_argument_beside_the_hidden_state_may_be_changed_in_place_too() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    model, other = Shifting(in_place=True), Shifting(in_place=False)
    other.load_state_dict(model.state_dict())
    seen, _ = walked(model, [{"x": x}], blocks_of(model))
    expected, _ = walked(other, [{"x": x}], blocks_of(other))
    for name, inputs in expected.items():
        torch.testing.assert_close(seen[name], inputs)


class Skipping(nn.Module):
    """Blocks of which a batch of large numbers uses only the first so many."""

    def __init__(self, used: int) -> None:
        super().__init__()
        self.used = used
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[: self.used if x.mean() > 1 else 3]:
            x = layer(x)
        return x


@pytest.mark.parametrize("used", [0, 1, 2])
@pytest.mark.parametrize("first", [0, 1])
def test_a_batch_may_leave_out_blocks(used: int, first: int) -> None:
    random = np.random.default_rng(0)
    batches = [{"x": random.standard_normal((5, 4)).astype(np.float32) + n * 3} for n in (0, 1)]
    model, other = Skipping(used), Skipping(used)
    other.load_state_dict(model.state_dict())
    ordered = batches[:: 1 - 2 * first]
    seen, _ = walked(model, ordered, blocks_of(model))
    expected, _ = walked(other, ordered, blocks_of(other), chains=False)
    assert [len(seen[f"layers.{n}.0"]) for n in range(3)] == [5 + 5 * (n < used) for n in range(3)]
    for name, inputs in expected.items():
        torch.testing.assert_close(seen[name], inputs)


def test_a_layer_that_no_batch_reaches_is_shown_the_identity_and_told() -> None:
    told: list[str] = []
    model = Skipping(2)
    batches = [{"x": np.full((5, 4), 9, np.float32)}]
    seen, _ = walked(model, batches, blocks_of(model), unreached=told.append)
    assert told == ["layers.2.0"] and torch.equal(seen["layers.2.0"], torch.eye(4))


class Repeating(nn.Module):
    """One block used three times, as in ALBERT."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU())])

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.blocks[0](x)
        return x


def test_a_block_that_is_used_again_shows_the_inputs_of_every_use() -> None:
    model = Repeating()
    seen, _ = walked(model, [{"x": np.ones((5, 4), np.float32)}], [["blocks.0.0"]])
    assert len(seen["blocks.0.0"]) == 15


class Stepping(nn.Module):
    """One layer used once for every position, as in a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)
        self.last = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros_like(x[:, 0])
        for position in range(x.shape[1]):
            hidden = torch.tanh(self.step(hidden + x[:, position]))
        output: Tensor = self.last(hidden)
        return output


def test_a_longer_batch_than_the_first_shows_all_its_inputs() -> None:
    batches = [{"x": np.ones((2, length, 4), np.float32)} for length in (3, 9)]
    seen, _ = walked(Stepping(), batches, [["step"]])
    assert len(seen["step"]) == 2 * (3 + 9)


def test_a_block_is_left_as_soon_as_its_layers_have_been_seen(
    bert: nn.Module, tokens: Arrays
) -> None:
    finished = []
    for layer in bert.encoder.layer:
        layer.output.dense.register_forward_hook(lambda *_: finished.append(1))
    walked(bert, [tokens], [group for group in blocks_of(bert) if "encoder" in group[0]])
    # Two runs end all three; after that a block is ended only to feed the next.
    assert len(finished) == 3 + 3 + 2


def test_a_language_model_s_cache_does_not_grow_when_a_block_runs_twice() -> None:
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=30, n_positions=16, n_embd=8, n_layer=2, n_head=2)
    model = GPT2Model(config).eval()
    tokens = {"input_ids": np.arange(12).reshape(2, 6)}
    seen, order = walked(model, [tokens], blocks_of(model))
    assert len(order) == 2 and {len(inputs) for inputs in seen.values()} == {12}
    assert model.config.use_cache
