"""Recovery as a user calls it: accuracy comes back, zeros and given models stay."""

from __future__ import annotations

import copy
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import DataError, EvaluationError, ModelError, OptionError
from gossamer.pruning import sparsify
from gossamer.pruning.recovery import recover


def zeros(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value == 0 for name, value in model.named_parameters() if value.ndim > 1}


def same(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def error(model: nn.Module, dense: nn.Module, x: Any) -> float:
    with torch.inference_mode():
        inputs = torch.as_tensor(x)
        return float((model(inputs) - dense(inputs)).square().mean())


def test_accuracy_comes_back_on_unseen_samples(dense: nn.Module, sparse: nn.Module, x: Any) -> None:
    unseen = np.random.default_rng(1).standard_normal((200, 12)).astype(np.float32)
    before = copy.deepcopy(dense), copy.deepcopy(sparse)
    found = recover(
        sparse,
        dense,
        x,
        steps=150,
        learning_rate=5e-3,
        evaluate=lambda model: -error(model, dense, unseen),
    )
    assert error(found.model, dense, unseen) < 0.5 * error(sparse, dense, unseen)
    assert same(dense, before[0]), "the dense model stays as it is"
    assert same(sparse, before[1]), "the sparse model stays as it is"
    assert all(torch.equal(mask, zeros(found.model)[name]) for name, mask in zeros(sparse).items())
    assert not found.model.training
    assert all(parameter.grad is None for parameter in found.model.parameters())
    assert found.losses == {"outputs": 1.0}
    assert found.sparsity == pytest.approx(0.8, abs=0.01)
    assert found.before is not None
    assert found.after is not None
    assert found.before.sparse < found.after.sparse <= found.after.dense
    assert found.history[-1]["step"] == found.steps == 150
    assert found.history[-1]["loss"] < 0.5 * found.history[0]["loss"]
    assert found.cpu_seconds > 0
    assert found.seconds > 0
    assert found.epochs == pytest.approx(150 * 32 / 96)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["after"]["sparse"] == found.after.sparse
    assert told["history"][-1]["outputs"] == told["history"][-1]["loss"]


def test_an_encoder_learns_hidden_states(bert: Any, sparse_bert: Any, tokens: Any) -> None:
    found = recover(sparse_bert, bert, tokens, steps=60, batch_size=24, learning_rate=3e-3)
    assert found.losses == {"hidden": 1.0, "embedding": 1.0, "similarities": 0.05}
    first, last = found.history[0], found.history[-1]
    for name in ("loss", *found.losses):
        assert last[name] < first[name], name
    assert all(
        torch.equal(mask, zeros(found.model)[name]) for name, mask in zeros(sparse_bert).items()
    )
    assert torch.equal(found.model.pooler.dense.weight, sparse_bert.pooler.dense.weight), (
        "what the loss does not reach stays"
    )


def test_what_padding_holds_changes_nothing(bert: Any, sparse_bert: Any, tokens: Any) -> None:
    spoilt = dict(tokens)
    spoilt["input_ids"] = np.where(tokens["attention_mask"] != 0, tokens["input_ids"], 39)
    one, other = (
        recover(sparse_bert, bert, data, steps=5, batch_size=8).model for data in (tokens, spoilt)
    )
    for name, value in one.named_parameters():
        torch.testing.assert_close(value, other.get_parameter(name), atol=1e-6, rtol=1e-4)


def test_blocks_are_matched_on_request(bert: Any, sparse_bert: Any, tokens: Any) -> None:
    found = recover(sparse_bert, bert, tokens, steps=20, losses={"blocks": 1.0})
    assert found.history[-1]["blocks"] < found.history[0]["blocks"]


def test_labels_reach_the_task_loss_and_nothing_else(dense: Any, sparse: Any, x: Any) -> None:
    labels = (x[:, 0] > 0).astype(np.int64)

    def right(model: nn.Module) -> float:
        return float(
            (model(torch.from_numpy(x)).argmax(1) == torch.from_numpy(labels)).float().mean()
        )

    def task_loss(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        assert set(batch) == {"input", "labels"}
        return nn.functional.cross_entropy(outputs, batch["labels"])

    data = {"input": x, "labels": labels}
    found = recover(
        sparse,
        dense,
        data,
        steps=150,
        learning_rate=2e-2,
        losses={"outputs": 0.0},
        task_loss=task_loss,
        evaluate=right,
    )
    assert found.losses == {"task": 1.0}
    assert right(found.model) > 0.9 > right(sparse)
    both = recover(sparse, dense, data, steps=2, task_loss=task_loss)
    assert both.losses == {"outputs": 1.0, "task": 1.0}


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=0.01),
        lambda parameters: torch.optim.RMSprop(parameters, 1e-3),
        lambda parameters: torch.optim.AdamW(parameters, 1e-3, amsgrad=True),
    ],
    ids=["sgd", "rmsprop", "amsgrad"],
)
def test_any_optimizer_keeps_the_zeros(optimizer: Any, dense: Any, sparse: Any, x: Any) -> None:
    found = recover(sparse, dense, x, steps=40, optimizer=optimizer)
    assert all(torch.equal(mask, zeros(found.model)[name]) for name, mask in zeros(sparse).items())
    assert error(found.model, dense, x) < error(sparse, dense, x)


def test_tied_weights_stay_tied(x: Any) -> None:
    dense = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.Linear(12, 3))
    dense[2].weight = dense[0].weight
    sparse = sparsify(dense, sparsity=0.5, solver="magnitude", layers=".*")
    found = recover(sparse, dense, x, steps=20).model
    assert found[2].weight is found[0].weight
    assert torch.equal(found[0].weight == 0, sparse.model[0].weight == 0)
    assert not torch.equal(found[0].weight, sparse.model[0].weight)


class Noisy(nn.Module):
    """A convolution with batch normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))


def test_it_trains_in_the_mode_in_which_it_runs() -> None:
    dense = Noisy().train()
    x = torch.randn(64, 1, 6, 6)
    dense(x)
    sparse = sparsify(dense, sparsity=0.5, solver="magnitude", layers=".*").model
    one, other = (recover(sparse, dense, x, steps=20).model for _ in range(2))
    assert same(one, other), "no dropout"
    inside = one.conv(x).detach()
    torch.testing.assert_close(
        one.norm.running_var, sparse.conv(x).var((0, 2, 3)).detach(), rtol=0.2, atol=0
    )
    assert not torch.allclose(one.norm.running_var, inside.var((0, 2, 3)), rtol=1e-3), "then fixed"
    assert not torch.equal(one.norm.weight, sparse.norm.weight)
    assert dense.training, "the given model keeps its mode"


def test_frozen_parameters_stay(dense: Any, sparse: Any, x: Any) -> None:
    sparse[0].requires_grad_(False)
    found = recover(sparse, dense, x, steps=5).model
    assert torch.equal(found[0].weight, sparse[0].weight)
    assert not torch.equal(found[2].weight, sparse[2].weight)
    sparse.requires_grad_(False)
    with pytest.raises(OptionError, match="requires a gradient"):
        recover(sparse, dense, x)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_recovered(half: Any, dense: Any, sparse: Any, x: Any) -> None:
    sparse, dense = sparse.to(half), dense.to(half)
    found = recover(sparse, dense, x, steps=60, learning_rate=3e-3).model
    assert {parameter.dtype for parameter in found.parameters()} == {half}
    assert {parameter.dtype for parameter in dense.parameters()} == {half}
    assert torch.equal(found[2].weight == 0, sparse[2].weight == 0)
    rows = torch.from_numpy(x).to(half)
    assert error(found, dense, rows) < 0.5 * error(sparse, dense, rows)


def test_a_language_model_keeps_its_tie_and_its_cache() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=24,
        tie_word_embeddings=True,
    )
    dense = LlamaForCausalLM(config).eval()
    sparse = sparsify(dense, sparsity=0.6, solver="magnitude").model
    ids = np.random.default_rng(0).integers(0, 40, (16, 6))
    found = recover(sparse, dense, {"input_ids": ids}, steps=15, batch_size=8, learning_rate=3e-3)
    assert found.losses == {"outputs": 1.0}
    assert found.history[-1]["outputs"] < found.history[0]["outputs"]
    assert found.model.lm_head.weight is found.model.model.embed_tokens.weight
    assert found.model.config.use_cache


def test_time_shortens_the_schedule(dense: Any, sparse: Any, x: Any) -> None:
    found = recover(sparse, dense, x, steps=10**6, max_cpu_minutes=0.005)
    assert 1 <= found.steps < 10**6
    assert found.requested_steps == 10**6
    assert found.history[-1]["step"] == found.steps
    asked = recover(sparse, dense, x, steps=found.steps)
    rates, expected = ([point["learning_rate"] for point in r.history] for r in (found, asked))
    assert rates == expected, "the rate has decayed as if so many steps had been asked for"
    assert found.notes[0].startswith(f"The CPU time allowed {found.steps} of")
    assert len(found.history) <= 200


class Interrupted(Exception):
    pass


def interrupting(after: int) -> Any:
    """A task loss that breaks off after so many calls, and otherwise adds some noise."""
    calls = 0

    def task_loss(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return (outputs * torch.rand_like(outputs)).square().mean()

    return task_loss


def test_an_interrupted_recovery_goes_on_to_the_bit(
    dense: Any, sparse: Any, x: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossamer.pruning.recovery.checkpoint.INTERVAL", 0.0)
    torch.manual_seed(3)
    whole = recover(sparse, dense, x, steps=20, task_loss=interrupting(99))
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        recover(sparse, dense, x, steps=20, task_loss=interrupting(7), folder=tmp_path)
    torch.manual_seed(4)
    rest = recover(sparse, dense, x, steps=20, task_loss=interrupting(13), folder=tmp_path)
    assert same(whole.model, rest.model)
    assert whole.history == rest.history
    assert rest.steps == 20
    again = recover(sparse, dense, x, steps=20, task_loss=interrupting(0), folder=tmp_path)
    assert same(rest.model, again.model), "what is done is not done again"
    assert again.cpu_seconds == pytest.approx(rest.cpu_seconds, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["recovery.pt"]


def test_a_folder_of_another_call_is_refused(
    dense: Any, sparse: Any, x: Any, tmp_path: Path
) -> None:
    recover(sparse, dense, x, steps=2, folder=tmp_path)
    with pytest.raises(OptionError, match=r"other optimizer, seed; choose another folder"):
        recover(sparse, dense, x, steps=2, folder=tmp_path, seed=1, learning_rate=1e-3)
    with pytest.raises(OptionError, match="other data;"):
        recover(sparse, dense, x[:64], steps=2, folder=tmp_path)
    with pytest.raises(OptionError, match="other dense model"):
        recover(sparse, sparse, x, steps=2, folder=tmp_path)


def test_a_full_disk_costs_the_checkpoint_and_not_the_model(
    sparse: nn.Module, dense: nn.Module, x: Any, tmp_path: Path
) -> None:
    """The system refuses files of more than 4 KiB, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        found = recover(sparse, dense, x, steps=3, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found.steps == 3
    assert any("could not be kept" in note and "File too large" in note for note in found.notes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", [{}, {"step": "one"}, {"history": 3, "model": None}])
def test_a_checkpoint_of_something_else_is_named(
    sparse: nn.Module, dense: nn.Module, x: Any, tmp_path: Path, state: Any
) -> None:
    recover(sparse, dense, x, steps=2, folder=tmp_path)
    file = tmp_path / "recovery.pt"
    kept = torch.load(file, weights_only=True)
    kept["state"] = {**kept["state"], **state} if state else state
    torch.save(kept, file)
    with pytest.raises(DataError, match=r"is not a checkpoint of recovery .*remove the file"):
        recover(sparse, dense, x, steps=2, folder=tmp_path)


def test_a_loss_that_is_nan_keeps_the_last_weights(
    dense: Any, sparse: Any, x: Any, tmp_path: Path
) -> None:
    calls = 0

    def task_loss(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return outputs.sum() * (float("nan") if calls == 4 else 1e-3)

    with pytest.raises(OptionError, match=r"NaN or infinite at step 4 of 9.*recovery\.pt"):
        recover(sparse, dense, x, steps=9, task_loss=task_loss, folder=tmp_path)
    kept = torch.load(tmp_path / "recovery.pt", weights_only=True)["state"]
    assert kept["step"] == 3
    calls = 10
    three = copy.deepcopy(sparse)
    three.load_state_dict(kept["model"])
    assert not same(three, sparse)
    assert all(value.isfinite().all() for value in kept["model"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"max_grad_norm": float("inf")}, "max_grad_norm is inf"),
        ({"max_cpu_minutes": 0}, "max_cpu_minutes is 0"),
        ({"warmup": 1.5}, "warmup is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"schedule": "steps"}, "unknown schedule"),
        ({"losses": {"output": 1.0}}, "unknown loss 'output'"),
        ({"device": "abacus"}, "device is 'abacus'"),
        ({"optimizer": torch.optim.SGD, "learning_rate": 0.1}, "leave out learning_rate="),
        ({"steps": True}, "steps is True; give a whole number from 1 up"),
        ({"batch_size": 10**30}, "give a whole number from 1 to 9223372036854775807"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3'; give a number above 0"),
        ({"learning_rate": 1e40}, r"learning_rate is 1e\+40; give a number above 0"),
        ({"temperature": None}, "temperature is None; give a number above 0"),
        ({"warmup": []}, r"warmup is \[\]; give a fraction"),
        ({"losses": "outputs"}, "losses is 'outputs'; give weights by the names of terms"),
        ({"device": 2.5}, "device is 2.5, which torch cannot use"),
        ({"accelerator": "cpu"}, "accelerator is 'cpu'; give an accelerate.Accelerator"),
        ({"evaluate": 0.9}, "evaluate is 0.9; give a function"),
        ({"task_loss": "mse"}, "task_loss is 'mse'; give a function"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; give a function"),
        ({"optimizer": lambda: None}, "optimizer= failed: TypeError: .*; give a function"),
        ({"folder": "a\0b"}, "names no file or folder; give a path"),
        ({"optimizer": lambda parameters: None}, "returned a NoneType"),
    ],
)
def test_options_out_of_range_are_refused(
    options: Any, message: str, dense: Any, sparse: Any, x: Any
) -> None:
    with pytest.raises(OptionError, match=message):
        recover(sparse, dense, x, **options)


def test_only_modules_recover(dense: Any, sparse: Any, x: Any, small_onnx: Path) -> None:
    import onnx

    for model in (small_onnx, onnx.load(small_onnx)):
        with pytest.raises(
            OptionError, match=r"sparse model is an ONNX model.*give the PyTorch module"
        ):
            recover(model, dense, x)
    with pytest.raises(OptionError, match="dense model is an ONNX model"):
        recover(sparse, small_onnx, x)
    with pytest.raises(ModelError, match="is a int"):
        recover(3, dense, x)


def test_a_dense_module_has_nothing_to_keep(dense: Any, x: Any) -> None:
    with pytest.raises(OptionError, match="no zeros to keep"):
        recover(dense, dense, x)


def test_models_that_do_not_fit_are_told_so(dense: Any, sparse: Any, x: Any) -> None:
    other = nn.Linear(12, 7)
    with pytest.raises(ModelError, match=r"\(32, 7\).*\(32, 5\)"):
        recover(sparse, other, x)
    with pytest.raises(ModelError, match="shows no hidden states"):
        recover(sparse, dense, x, losses={"hidden": 1.0})
    with pytest.raises(DataError, match="does not run through the dense model"):
        recover(sparse, dense, x[:, :7])


def test_a_later_mini_batch_that_does_not_run_is_told_so(dense: Any, sparse: Any, x: Any) -> None:
    """A tuple of arrays is a list of batches: this one's second has one axis."""
    with pytest.raises(DataError, match="does not run through the sparse model"):
        recover(sparse, dense, (x, x[:, 0]), steps=40, batch_size=4, seed=2)


@pytest.mark.parametrize("options", [{}, {"max_cpu_minutes": 1}])
def test_a_model_through_which_no_gradient_goes_is_told_so(options: Any, x: Any) -> None:
    class InPlace(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            found = super().forward(input)
            found.exp_().mul_(2)
            return found

    given = InPlace(12, 5)
    with torch.no_grad():
        given.weight[:2] = 0
    with pytest.raises(ModelError, match="gradient of the sparse model cannot be computed"):
        recover(given, InPlace(12, 5), x, steps=2, **options)


def test_a_task_loss_must_give_a_number(dense: Any, sparse: Any, x: Any) -> None:
    with pytest.raises(EvaluationError, match="task_loss failed: KeyError: 'y'"):
        recover(sparse, dense, x, task_loss=lambda outputs, batch: batch["y"])
    for useless in (lambda outputs, batch: outputs, lambda outputs, batch: 1.0):
        with pytest.raises(EvaluationError, match="one number as a tensor"):
            recover(sparse, dense, x, task_loss=useless)


def test_a_score_that_falls_is_said(dense: Any, sparse: Any, x: Any) -> None:
    scores = iter([1.0, 0.8, 0.5])
    found = recover(sparse, dense, x, steps=1, evaluate=lambda model: next(scores))
    assert any("score fell" in note for note in found.notes)


def test_what_it_took_is_metered_with_what_sparsifying_took(dense: nn.Module, x: Any) -> None:
    result = sparsify(dense, x, sparsity=0.8, layers=".")
    found = recover(result, dense, x, steps=3)
    alone = recover(result.model, dense, x, steps=3)
    assert alone.energy_spent.joules > 0
    assert found.energy_spent.joules > result.energy_spent.joules
    assert found.to_dict()["energy_spent"]["joules"] == found.energy_spent.joules


def test_after_an_interruption_what_it_took_is_estimated_from_all_cpu_time(
    sparse: nn.Module, dense: nn.Module, x: Any, tmp_path: Path
) -> None:
    recover(sparse, dense, x, steps=5, folder=tmp_path / "job")
    found = recover(sparse, dense, x, steps=5, folder=tmp_path / "job")
    assert found.energy_spent.kind == "estimated"
    assert found.energy_spent.method.endswith("over all processes and interruptions")
    assert found.energy_spent.cpu_seconds >= found.cpu_seconds


class Anything(nn.Module):
    """A wrapper that hands on whatever it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **kwargs: torch.Tensor) -> torch.Tensor:
        return self.model(kwargs["x"] * kwargs["scale"])


def test_a_module_of_kwargs_alone_is_given_every_array(
    dense: nn.Module, sparse: nn.Module, x: Any
) -> None:
    data = {"x": x, "scale": np.ones_like(x)}
    found = recover(Anything(sparse), Anything(dense), data, steps=3)
    expected = recover(sparse, dense, x, steps=3)
    assert same(found.model.model, expected.model)


def test_what_is_beyond_a_module_s_own_names_is_no_input_where_there_are_labels(
    dense: nn.Module, sparse: nn.Module, x: Any
) -> None:
    class Own(Anything):
        def forward(self, x: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
            assert not kwargs
            return self.model(x)

    recover(
        Own(sparse),
        Own(dense),
        {"x": x, "labels": np.zeros(len(x))},
        steps=1,
        task_loss=lambda returned, batch: (returned.mean(1) - batch["labels"]).square().mean(),
    )
