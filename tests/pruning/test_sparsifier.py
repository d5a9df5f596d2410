"""Sparse training in any loop: exact in the end, and nothing around it undoes the zeros."""

from __future__ import annotations

import copy
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.errors import ModelError, OptionError
from gossamer.pruning.methods import METHODS
from gossamer.sparsity.patterns import PATTERNS

STEPS = 40
ALL = sorted(METHODS)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 30), nn.ReLU(), nn.Linear(30, 4)
    )


def batch(step: int, rows: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(step)
    x = torch.randn(rows, 12, generator=random)
    return x, (x[:, 0] > 0).long() + 2 * (x[:, 1] > x[:, 2]).long()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sparsifier: gs.Sparsifier,
    steps: range = range(STEPS),
) -> None:
    for step in steps:
        optimizer.zero_grad()
        x, y = batch(step)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        sparsifier.step()


def zeros(model: nn.Module, *names: str) -> int:
    parameters = dict(model.named_parameters())
    return sum(int((parameters[name] == 0).sum()) for name in names)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("optimizer", [sgd, adamw])
@pytest.mark.parametrize("pattern", ["unstructured", "block:4x1", "channel"])
def test_the_sparsity_is_exact_and_survives_the_optimizer(
    method: str, optimizer: Callable[[nn.Module], torch.optim.Optimizer], pattern: str
) -> None:
    model = network()
    trainer = optimizer(model)
    sparsifier = gs.Sparsifier(
        0.8, steps=STEPS, method=method, pattern=pattern, layers=".*", allocation="uniform"
    )
    sparsifier.prepare(model, trainer)
    train(model, trainer, sparsifier)
    masks = sparsifier.finalize()
    assert list(masks) == ["0.weight", "2.weight", "4.weight"]
    for name, mask in masks.items():
        unit = {"unstructured": 1, "block:4x1": 4, "channel": mask.shape[1]}[pattern]
        gone = int((~mask).sum())
        assert abs(gone - 0.8 * mask.numel()) <= unit / 2 + 1e-6
        assert (model.get_parameter(name)[~mask] == 0).all()
    assert torch.isfinite(model(batch(0)[0])).all()


@pytest.mark.parametrize("method", ALL)
def test_a_sparse_network_learns(method: str) -> None:
    model = network()
    optimizer = adamw(model)
    sparsifier = gs.Sparsifier(0.8, steps=300, method=method)
    sparsifier.prepare(model, optimizer)
    train(model, optimizer, sparsifier, range(300))
    sparsifier.finalize()
    x, y = batch(10_000, rows=1000)
    assert (model(x).argmax(dim=1) == y).float().mean() > 0.9


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("stop", [7, 20, 35])
@pytest.mark.parametrize("model_first", [True, False])
def test_training_that_resumes_is_the_same_as_without_a_break(
    method: str, stop: int, model_first: bool
) -> None:
    def begin() -> tuple[nn.Module, torch.optim.Optimizer, gs.Sparsifier]:
        model = network()
        return model, adamw(model), gs.Sparsifier(0.8, steps=STEPS, method=method, every=3)

    whole, optimizer, sparsifier = begin()
    sparsifier.prepare(whole, optimizer)
    train(whole, optimizer, sparsifier)

    model, optimizer, first = begin()
    first.prepare(model, optimizer)
    train(model, optimizer, first, range(stop))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, optimizer, first)], file)
    file.seek(0)
    model, optimizer, second = begin()
    weights, moments, masks = torch.load(file, weights_only=True)
    second.load_state_dict(masks)
    if model_first:
        model.load_state_dict(weights)
    second.prepare(model, optimizer)
    if not model_first:
        model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    train(model, optimizer, second, range(stop, STEPS))

    for name, mask in sparsifier.finalize().items():
        assert torch.equal(mask, second.finalize()[name])
    for one, other in zip(whole.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_other_settings_or_another_model_is_refused() -> None:
    def prepared(
        model: nn.Module, sparsity: float, state: dict[str, Any] | None = None
    ) -> gs.Sparsifier:
        sparsifier = gs.Sparsifier(sparsity, steps=STEPS, layers=".*")
        if state is not None:
            sparsifier.load_state_dict(state)
        sparsifier.prepare(model, sgd(model))
        return sparsifier

    first = prepared(network(), 0.8)
    with pytest.raises(OptionError, match=r"sparsity 0\.8, this one has 0\.9"):
        prepared(network(), 0.9, first.state_dict())
    with pytest.raises(OptionError, match="not this model's"):
        prepared(nn.Sequential(nn.Linear(3, 3)), 0.8, first.state_dict())
    with pytest.raises(OptionError, match="call it before"):
        first.load_state_dict(first.state_dict())


def test_wrappers_are_looked_through() -> None:
    plain = network()
    reference = gs.Sparsifier(0.8, steps=STEPS)
    optimizer = sgd(plain)
    reference.prepare(plain, optimizer)
    train(plain, optimizer, reference)

    inner = network()
    wrapped = torch.compile(inner, backend="eager")
    optimizer = sgd(wrapped)
    sparsifier = gs.Sparsifier(0.8, steps=STEPS, layers=["2"])
    sparsifier.prepare(wrapped, optimizer)
    train(wrapped, optimizer, sparsifier)
    masks = sparsifier.finalize()
    assert list(masks) == ["2.weight"]
    assert torch.equal(masks["2.weight"], reference.finalize()["2.weight"])
    assert torch.equal(inner[2].weight, plain[2].weight)


def test_tied_weights_are_pruned_once_and_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.Linear(12, 4))
    model[2].weight = model[0].weight
    optimizer = adamw(model)
    sparsifier = gs.Sparsifier(0.5, steps=STEPS, method="movement", layers=".*")
    sparsifier.prepare(model, optimizer)
    train(model, optimizer, sparsifier)
    assert list(sparsifier.finalize()) == ["0.weight", "3.weight"]
    assert model[2].weight is model[0].weight
    assert zeros(model, "0.weight") == 72


@pytest.mark.parametrize("method", ALL)
def test_layers_without_gradients_are_pruned_too(method: str) -> None:
    model = network()
    model[2].weight.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    sparsifier = gs.Sparsifier(0.75, steps=STEPS, method=method, layers=["2"])
    sparsifier.prepare(model, optimizer)
    train(model, optimizer, sparsifier)
    sparsifier.finalize()
    assert zeros(model, "2.weight") == 540


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights(method: str, dtype: torch.dtype) -> None:
    model = network().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    sparsifier = gs.Sparsifier(0.75, steps=STEPS, method=method, layers=["2"])
    sparsifier.prepare(model, optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        model(batch(step)[0].to(dtype)).float().square().mean().backward()
        optimizer.step()
        sparsifier.step()
    mask = sparsifier.finalize()["2.weight"]
    assert int((~mask).sum()) == 540
    assert model[2].weight.dtype == dtype and (model[2].weight[~mask] == 0).all()


@pytest.mark.parametrize("pattern", ["block:64x64", "channel"])
def test_a_layer_smaller_than_a_block(pattern: str) -> None:
    model = nn.Sequential(nn.Linear(12, 1), nn.Linear(1, 4))
    optimizer = sgd(model)
    sparsifier = gs.Sparsifier(0.3, steps=3, pattern=pattern, layers=["0"])
    sparsifier.prepare(model, optimizer)
    train(model, optimizer, sparsifier, range(3))
    # One block: keeping it is nearer to 0.3 than removing it.
    assert sparsifier.finalize()["0.weight"].all()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("method", ["movement", "rigl"])
def test_scaled_gradients_count_as_they_are(
    method: str, fused: bool, kind: type[torch.optim.Optimizer]
) -> None:
    """A GradScaler's powers of two change no mask, whoever undoes them."""

    def masks(scaler: torch.amp.GradScaler | None) -> dict[str, torch.Tensor]:
        model = network()
        optimizer = kind(model.parameters(), lr=0.01, fused=fused)
        sparsifier = gs.Sparsifier(0.8, steps=STEPS, method=method)
        sparsifier.prepare(model, optimizer)
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = batch(step)
            loss = nn.functional.cross_entropy(model(x), y)
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            sparsifier.step()
        state = sparsifier.state_dict()["layers"]["2.weight"]
        return {name: tensor for name, tensor in state.items() if name != "gradient"}

    plain = masks(None)
    scaled = masks(torch.amp.GradScaler("cpu", init_scale=2.0**10))
    assert plain.keys() == scaled.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, scaled[name]), name


def test_infinite_gradients_leave_scores_alone() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=True)
    sparsifier = gs.Sparsifier(0.8, steps=STEPS, method="movement")
    sparsifier.prepare(model, optimizer)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model(torch.full((1, 12), torch.inf)).sum()).backward()
    scaler.step(optimizer)
    sparsifier.step()
    assert not sparsifier.state_dict()["layers"]["2.weight"]["score"].any()


def test_micro_batches_count_as_one_step() -> None:
    """Two halves whose gradients add up choose what the whole batch chooses."""

    def masks(parts: int) -> torch.Tensor:
        model = network().double()
        optimizer = sgd(model)
        sparsifier = gs.Sparsifier(0.8, steps=STEPS, method="rigl")
        sparsifier.prepare(model, optimizer)
        for step in range(STEPS):
            x, y = batch(step)
            for rows, labels in zip(x.double().chunk(parts), y.chunk(parts), strict=True):
                (nn.functional.cross_entropy(model(rows), labels) / parts).backward()
            optimizer.step()
            sparsifier.step()
            optimizer.zero_grad()
        return sparsifier.finalize()["2.weight"]

    assert torch.equal(masks(1), masks(2))


def test_gradients_may_be_cleared_before_the_step_is_counted() -> None:
    def score(early: bool) -> torch.Tensor:
        model = network()
        optimizer = sgd(model)
        sparsifier = gs.Sparsifier(0.8, steps=STEPS, method="rigl")
        sparsifier.prepare(model, optimizer)
        for step in range(STEPS):
            x, y = batch(step)
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if early:
                optimizer.zero_grad()
            sparsifier.step()
            optimizer.zero_grad()
        return sparsifier.finalize()["2.weight"]

    assert torch.equal(score(True), score(False))


def test_merged_weights_keep_the_zeros() -> None:
    """Averages of two trainings with the same masks, and a low-rank update that fills them."""
    model = network()
    optimizer = sgd(model)
    sparsifier = gs.Sparsifier(0.8, steps=STEPS)
    sparsifier.prepare(model, optimizer)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    for step in range(STEPS):
        train(model, optimizer, sparsifier, range(step, step + 1))
        average.update_parameters(model)
    masks = sparsifier.finalize()
    gone = ~masks["2.weight"]

    other = copy.deepcopy(model)
    trainer = sgd(other)
    masks.hold(other, trainer)
    for step in range(5):
        nn.functional.cross_entropy(other(batch(step)[0]), batch(step)[1]).backward()
        trainer.step()
    merged = (model[2].weight + other[2].weight) / 2
    assert (merged[gone] == 0).all() and (merged != model[2].weight).any()

    assert (average.module[2].weight[gone] != 0).any(), "an average remembers older masks"
    masks.apply(average.module)
    assert (average.module[2].weight[gone] == 0).all()

    with torch.no_grad():
        other[2].weight += torch.randn(30, 2) @ torch.randn(2, 24)
    masks.apply(other)
    assert torch.equal(other[2].weight != 0, masks["2.weight"])


def test_convolutions_and_transposed_layers() -> None:
    from transformers.pytorch_utils import Conv1D

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 8, 3, groups=2)
            self.turned = Conv1D(6, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.turned(self.conv(x).mean(dim=(2, 3)))

    for method in ALL:
        model = Net()
        optimizer = sgd(model)
        sparsifier = gs.Sparsifier(
            0.5, steps=10, method=method, pattern="block:2x1", layers=".*", allocation="uniform"
        )
        sparsifier.prepare(model, optimizer)
        for _ in range(10):
            optimizer.zero_grad()
            model(torch.randn(2, 4, 5, 5)).square().sum().backward()
            optimizer.step()
            sparsifier.step()
        masks = sparsifier.finalize()
        # Two neighbouring outputs keep the same inputs: the first axis, or the last if transposed.
        pairs = masks["conv.weight"].reshape(4, 2, 2, 3, 3)
        assert torch.equal(pairs[:, 0], pairs[:, 1])
        pairs = masks["turned.weight"].reshape(8, 3, 2)
        assert torch.equal(pairs[..., 0], pairs[..., 1])
        assert zeros(model, "conv.weight") >= 72 and zeros(model, "turned.weight") >= 24


def test_finalize_before_the_end_is_exact_and_twice_the_same() -> None:
    for method in ALL:
        model = network()
        optimizer = adamw(model)
        sparsifier = gs.Sparsifier(0.75, steps=STEPS, method=method, layers=["2"])
        sparsifier.prepare(model, optimizer)
        train(model, optimizer, sparsifier, range(10))
        masks = sparsifier.finalize()
        assert int((~masks["2.weight"]).sum()) == 540
        assert (model[2].weight[~masks["2.weight"]] == 0).all()
        assert sparsifier.finalize() is masks
        # The hook is gone: the optimizer is the user's again.
        train_on = batch(0)
        nn.functional.cross_entropy(model(train_on[0]), train_on[1]).backward()
        optimizer.step()
        assert (model[2].weight[~masks["2.weight"]] != 0).any()
        with pytest.raises(OptionError, match="after finalize"):
            sparsifier.step()


class TwoOfFour:
    """Of every four neighbouring inputs two stay."""

    name = "2:4"
    shape = (1, 4)
    sparsity = 0.5

    def mask(self, scores: torch.Tensor, sparsity: float, *, per_row: bool = False) -> torch.Tensor:
        groups = scores.reshape(scores.shape[0], -1, 4)
        order = groups.argsort(dim=2).argsort(dim=2)
        return (order >= 2).reshape(scores.shape)


@pytest.mark.parametrize("method", ALL)
def test_a_pattern_of_one_sparsity_is_reached_weight_by_weight(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PATTERNS, "two", lambda options: TwoOfFour())
    model = network()
    optimizer = adamw(model)
    sparsifier = gs.Sparsifier(0.5, steps=STEPS, method=method, pattern="two", every=2)
    sparsifier.prepare(model, optimizer)
    found, masks = [], []
    for step in range(STEPS):
        train(model, optimizer, sparsifier, range(step, step + 1))
        found.append(sparsifier.current_sparsity)
        masks.append(sparsifier.masks["2.weight"])
    if method != "rigl":
        assert any(0.1 < value < 0.4 for value in found), "a ramp, not a jump"
        assert max(found) < 0.55
    if method in ("rigl", "movement"):
        assert any((after & ~before).any() for before, after in itertools.pairwise(masks))
    mask = sparsifier.finalize()["2.weight"]
    assert (mask.reshape(30, 6, 4).sum(dim=2) == 2).all()
    assert (model[2].weight[~mask] == 0).all()
    for options in ({"sparsity": 0.9}, {"sparsity": 0.5, "allocation": "erk"}):
        with pytest.raises(OptionError, match=r"sparsity 0\.5 in every layer"):
            gs.Sparsifier(**options, method=method, pattern="two")  # type: ignore[arg-type]


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_nothing_and_all(sparsity: float) -> None:
    for method in ALL:
        model = network()
        optimizer = sgd(model)
        sparsifier = gs.Sparsifier(sparsity, steps=STEPS, method=method)
        sparsifier.prepare(model, optimizer)
        train(model, optimizer, sparsifier)
        assert sparsifier.finalize()["2.weight"].float().mean() == 1 - sparsity


def test_more_steps_than_announced_keep_the_masks() -> None:
    model = network()
    optimizer = sgd(model)
    sparsifier = gs.Sparsifier(0.8, steps=10)
    sparsifier.prepare(model, optimizer)
    train(model, optimizer, sparsifier, range(30))
    assert sparsifier.current_sparsity == pytest.approx(0.8, abs=1e-3)


def test_a_transformer_keeps_its_head_dense() -> None:
    layer = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])
    model = nn.ModuleDict({"blocks": layer, "head": nn.Linear(8, 3)})
    sparsifier = gs.Sparsifier(0.5, steps=1)
    sparsifier.prepare(model, sgd(model))
    assert list(sparsifier.masks) == ["blocks.0.0.weight", "blocks.1.0.weight"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.2}, "from 0 to 1"),
        ({"steps": 0}, "steps is 0"),
        ({"every": 0}, "every is 0"),
        ({"ramp": (0.8, 0.2)}, "ramp is"),
        ({"ramp": 3}, "ramp= must be a list of numbers"),
        ({"steps": 10**400}, "steps is 1000.*; give a number of steps"),
        ({"steps": float("inf")}, "steps is inf"),
        ({"every": "often"}, "every is 'often'"),
        ({"seed": None}, "seed is None; give a whole number from 0 up"),
        ({"seed": 10**30}, "give a whole number from 0 to 9223372036854775807"),
        ({"ramp": (0.1, 0.2, 0.3)}, "ramp is"),
        ({"method": "lottery"}, "logsum, magnitude, movement, rigl"),
        ({"pattern": "striped"}, "unknown pattern"),
        ({"schedule": "sudden"}, "unknown schedule"),
        ({"allocation": "fair"}, "unknown allocation"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        gs.Sparsifier(**{"sparsity": 0.5, "steps": 10, **options})


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"step": 1.5, "settings": {}, "layers": {}},
        {"step": -1, "settings": {}, "layers": {}},
        {"step": 1, "settings": [], "layers": {}},
        {"step": 1, "settings": {}, "layers": {"2": {}}},
        {"step": 1, "settings": {}, "layers": {"2": {"mask": [True]}}},
    ],
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(OptionError, match=r"no state of a sparsifier; give what state_dict\(\)"):
        gs.Sparsifier(0.5, steps=10).load_state_dict(state)


def test_calls_out_of_order_are_refused() -> None:
    model = network()
    sparsifier = gs.Sparsifier(0.5)
    for call in (sparsifier.step, sparsifier.finalize, sparsifier.state_dict):
        with pytest.raises(OptionError, match="call prepare"):
            call()
    with pytest.raises(OptionError, match="steps is missing"):
        sparsifier.prepare(model, sgd(model))
    sparsifier = gs.Sparsifier(0.5, steps=10)
    sparsifier.prepare(model, sgd(model))
    with pytest.raises(OptionError, match="has a model already"):
        sparsifier.prepare(model, sgd(model))


def test_models_that_cannot_be_pruned_are_refused() -> None:
    broken = network()
    broken[2].weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="'2' has NaN"):
        gs.Sparsifier(0.5, steps=1).prepare(broken, sgd(broken))
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(3), nn.LazyLinear(3))
    with pytest.raises(ModelError, match=r"has no values yet.*; run one through the model first"):
        gs.Sparsifier(0.5, steps=1).prepare(lazy, sgd(network()))
    with pytest.raises(ModelError, match="on the meta device"):
        gs.Sparsifier(0.5, steps=1).prepare(network().to("meta"), sgd(network()))
    with torch.inference_mode():
        fixed = network()
    with pytest.raises(ModelError, match=r"made in torch.inference_mode\(\)"):
        gs.Sparsifier(0.5, steps=1).prepare(fixed, sgd(network()))
    empty = nn.Sequential(nn.LayerNorm(3))
    with pytest.raises(ModelError, match="no prunable layers"):
        gs.Sparsifier(0.5, steps=1).prepare(empty, sgd(empty))


def test_gossamer_alone_does_not_import_torch() -> None:
    code = "import sys, gossamer; assert 'torch' not in sys.modules; gossamer.Sparsifier(0.5)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "compute",
    [
        lambda layer: torch.nn.utils.prune.l1_unstructured(layer, "weight", 0.5),
        torch.nn.utils.parametrizations.weight_norm,
    ],
)
def test_a_layer_whose_weight_is_computed_is_warned_of(compute: Any) -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
    compute(model[1])
    sparsifier = gs.Sparsifier(0.5, steps=4)
    with pytest.warns(UserWarning, match="'1' is computed at every call"):
        sparsifier.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
    assert "1.weight" not in sparsifier.masks


@pytest.mark.parametrize("argument", ["steps", "pattern", "method", "layers", "schedule", "every"])
@pytest.mark.parametrize("wrong", [0, 2j, True, b"a", [None], {1: 2}, torch.ones(2), len, "nope"])
def test_an_argument_of_another_kind_is_one_line(argument: str, wrong: Any) -> None:
    try:
        gs.Sparsifier(0.5, **{"steps": STEPS, argument: wrong})
    except OptionError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("wrong", [None, 5, "model", [nn.Linear(2, 2)], {}])
def test_a_model_and_an_optimizer_of_another_kind_are_one_line(wrong: Any) -> None:
    model = network()
    with pytest.raises(OptionError, match=r"the model is a .*; give an nn.Module"):
        gs.Sparsifier(0.5, steps=STEPS).prepare(wrong, sgd(model))
    with pytest.raises(OptionError, match=r"the optimizer is a .*; give one of torch.optim"):
        gs.Sparsifier(0.5, steps=STEPS).prepare(model, wrong)
