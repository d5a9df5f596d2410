from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from gossamer.errors import DataError, EvaluationError, ModelError, OptionError
from gossamer.models import open_model, opening
from gossamer.models.onnx_model import OnnxModel
from gossamer.pruning import sparsify
from gossamer.pruning.job import Job

x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return nn.Sequential(
        nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 5)
    )


@pytest.fixture
def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
    )
    return BertModel(config).eval()


@pytest.fixture
def tokens() -> dict[str, np.ndarray[Any, Any]]:
    mask = np.ones((40, 8), np.int64)
    mask[::2, 5:] = 0
    ids = np.random.default_rng(0).integers(0, 40, (40, 8))
    return {"input_ids": ids, "attention_mask": mask}


def zeros(module: nn.Module) -> float:
    """Return the sparsity of the one layer that is pruned by default."""
    return float((module[2].weight == 0).double().mean())


@pytest.mark.parametrize("solver", ["magnitude", "wanda", "obs"])
@pytest.mark.parametrize("sparsity", [0, 0.3, 0.85, 1])
def test_the_sparsity_asked_for_is_what_comes_out(
    model: nn.Module, solver: str, sparsity: float
) -> None:
    result = sparsify(model, x, sparsity=sparsity, solver=solver)
    assert result.sparsity == zeros(result.model) == pytest.approx(sparsity)
    assert result.zeros == round(sparsity * 400) and result.weights == 400
    assert result.model_sparsity == result.zeros / sum(p.numel() for p in model.parameters())
    assert [layer.name for layer in result.layers] == ["2"]


@pytest.mark.parametrize("solver", ["magnitude", "wanda", "obs"])
def test_linear_layers_and_convolutions_lose_whole_blocks(solver: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 3), nn.Flatten(), nn.Linear(160, 6)
    )
    pixels = np.random.default_rng(0).standard_normal((40, 3, 8, 8)).astype(np.float32)
    open_model(cnn).export_onnx(tmp_path / "cnn.onnx", {"input": pixels})
    for model, kind in ((cnn, nn.Module), (tmp_path / "cnn.onnx", onnx.ModelProto)):
        options = {"solver": solver, "layers": ".", "pattern": "block"}
        result = sparsify(model, pixels, sparsity=0.6, **options)
        assert isinstance(result.model, kind) and result.pattern == "block:4x1"
        assert result.sparsity == pytest.approx(0.6, abs=0.03)
        pruned = open_model(result.model)
        for layer in pruned.layers():
            zero = pruned.weight(layer.name) == 0
            for start in range(0, layer.rows, 4):
                band = zero[start : start + 4]
                assert (band == band[0]).all(), "four neighbouring outputs keep the same inputs"


def test_the_user_s_model_is_untouched_in_weights_and_mode(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    model.train()

    def spoiling(module: nn.Module) -> float:
        with torch.no_grad():
            module[0].weight.zero_()
        return 1.0

    sparsify(model, x, sparsity=0.5, evaluate=spoiling)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_obs_keeps_the_outputs_closer_than_magnitude(model: nn.Module) -> None:
    with torch.no_grad():
        dense = model(torch.from_numpy(x))
        lost = {
            solver: float(
                (
                    sparsify(model, x, sparsity=0.7, solver=solver, layers=".").model(
                        torch.from_numpy(x)
                    )
                    - dense
                )
                .square()
                .mean()
            )
            for solver in ("magnitude", "obs")
        }
    assert lost["obs"] < 0.7 * lost["magnitude"]


def test_the_search_finds_the_highest_sparsity_within_the_drop(model: nn.Module) -> None:
    result = sparsify(
        model, x, evaluate=lambda m: 1 - zeros(m) ** 2, max_drop=0.25, allocation="uniform"
    )
    assert result.sparsity == pytest.approx(0.5, abs=0.011)
    assert result.drop is not None and result.drop <= 0.25
    assert (result.dense_score, result.requested_sparsity) == (1.0, None)
    assert len(result.trials) <= 7
    assert [trial.accepted for trial in result.trials] == [
        trial.drop <= 0.25 + 1e-9 for trial in result.trials
    ]
    best = max(trial.sparsity for trial in result.trials if trial.accepted)
    assert best == pytest.approx(result.sparsity, abs=0.002)
    assert zeros(result.model) == result.sparsity


def test_a_drop_that_nothing_keeps_gives_the_dense_model_and_says_so(model: nn.Module) -> None:
    result = sparsify(
        model, x, evaluate=lambda m: -100 * zeros(m), max_drop=0.1, allocation="uniform"
    )
    assert (result.sparsity, result.model_sparsity, result.drop) == (0, 0, 0)
    assert all(map(torch.equal, result.model.parameters(), model.parameters()))
    assert "left dense" in result.notes[0] and not any(t.accepted for t in result.trials)


def test_a_drop_that_allows_everything_stops_below_one(model: nn.Module) -> None:
    result = sparsify(model, x, evaluate=lambda m: 1.0, max_drop=0, allocation="uniform")
    assert result.sparsity == pytest.approx(0.99)


def test_the_drop_to_report_comes_from_data_that_the_search_did_not_use(model: nn.Module) -> None:
    searched = sparsify(
        model, x, evaluate=lambda m: 1 - zeros(m), max_drop=0.3, allocation="uniform"
    )
    assert searched.drop_measured_on == "the data of the search" and searched.final_drop is None
    assert any("final_evaluate" in note for note in searched.notes)
    result = sparsify(
        model,
        x,
        evaluate=lambda m: 1 - zeros(m),
        max_drop=0.3,
        final_evaluate=lambda m: 2 - 2 * zeros(m),
        allocation="uniform",
    )
    assert result.drop_measured_on == "unseen data"
    assert (
        "On unseen data the drop is 0.6, more than max_drop=0.3: the data of the search was too "
        "little, or of another kind. Search on more."
    ) in result.notes
    assert result.final_drop == pytest.approx(2 * result.sparsity)
    assert (result.final_dense_score, result.drop) == (2, pytest.approx(result.sparsity))


def test_with_a_given_sparsity_the_evaluation_is_only_reported(model: nn.Module) -> None:
    result = sparsify(model, x, sparsity=0.5, evaluate=lambda m: [1, 1 - zeros(m)])
    assert not result.trials and result.drop == 0.25
    assert result.drop_interval is not None and result.drop_measured_on == "unseen data"


def test_the_result_is_ready_for_json(model: nn.Module) -> None:
    result = sparsify(
        model, x, evaluate=lambda m: [1 - zeros(m)] * 3, max_drop=0.2, allocation="uniform"
    )
    told = json.loads(json.dumps(result.to_dict()))
    assert told["sparsity"] == result.sparsity
    assert told["model_sparsity"] == result.model_sparsity < told["sparsity"]
    assert told["trials"][0]["sparsity"] == 0.5
    assert told["layers"] == [
        {
            "name": "2",
            "rows": 20,
            "columns": 20,
            "zeros": result.zeros,
            "weights": 400,
            "sparsity": result.sparsity,
        }
    ]
    assert told["final_drop"] is None and told["seconds"] > 0


def test_progress_is_drawn_on_standard_error_only(model: nn.Module, capsys: Any) -> None:
    sparsify(model, x, sparsity=0.5, progress=True)
    assert capsys.readouterr().out == ""


def test_a_transformer_in_a_directory_gives_a_transformer(
    bert: nn.Module, tokens: dict[str, Any], tmp_path: Path
) -> None:
    bert.save_pretrained(tmp_path)
    result = sparsify(tmp_path, tokens, sparsity=0.6)
    assert type(result.model) is type(bert) and len(result.layers) == 12
    assert result.sparsity == pytest.approx(0.6, abs=0.001)
    assert result.model.embeddings.word_embeddings.weight.count_nonzero() == 640 - 16


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_models_stay_so(
    bert: nn.Module, tokens: dict[str, Any], precision: torch.dtype
) -> None:
    result = sparsify(bert.to(precision), tokens, sparsity=0.5)
    assert {parameter.dtype for parameter in result.model.parameters()} == {precision}
    assert result.sparsity == pytest.approx(0.5, abs=0.001)


def test_the_module_and_its_onnx_file_become_the_same_sparse_model(
    bert: nn.Module, tokens: dict[str, Any], tmp_path: Path
) -> None:
    open_model(bert).export_onnx(tmp_path / "bert.onnx", tokens)
    # "admm" turns a difference in the last digit into other weights that are as good.
    graph = sparsify(tmp_path / "bert.onnx", tokens, sparsity=0.5, solver="obs")
    module = sparsify(bert, tokens, sparsity=0.5, solver="obs")
    assert isinstance(graph.model, onnx.ModelProto)
    ours, theirs = OnnxModel(graph.model), open_model(module.model)
    for one, other in zip(graph.layers, module.layers, strict=True):
        weights = ours.weight(one.name), theirs.weight(other.name)
        torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_an_onnx_model_is_evaluated_as_a_session(
    bert: nn.Module, tokens: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.models import onnx_model

    open_model(bert).export_onnx(tmp_path / "bert.onnx", tokens)
    monkeypatch.setattr(
        opening,
        "_open_onnx",
        lambda model: onnx_model.OnnxModel(
            model, session=lambda m: onnxruntime.InferenceSession(m.SerializeToString())
        ),
    )
    reference = onnxruntime.InferenceSession(tmp_path / "bert.onnx").run(None, tokens)[0]

    def similarity(session: Any) -> float:
        hidden = session.run(None, tokens)[0]
        return float(np.corrcoef(hidden.ravel(), reference.ravel())[0, 1])

    result = sparsify(
        onnx.load(tmp_path / "bert.onnx"),
        tokens,
        evaluate=similarity,
        max_drop=0.05,
        allocation="uniform",
    )
    assert result.dense_score == pytest.approx(1)
    assert result.score is not None and 0.95 <= result.score < 1 and result.sparsity > 0.05


def test_a_model_file_in_python_is_sparsified(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("import torch\ndef make():\n    return torch.nn.Linear(8, 4)\n")
    assert sparsify(f"{file}:make", x, sparsity=0.5).sparsity == 0.5


def test_magnitude_needs_no_data_and_the_others_say_that_they_do(model: nn.Module) -> None:
    assert sparsify(model, sparsity=0.5, solver="magnitude").sparsity == 0.5
    with pytest.raises(DataError, match="needs calibration data"):
        sparsify(model, sparsity=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either sparsity="),
        ({"sparsity": 0.5, "budget": 0.5}, "sparsity= and budget= contradict"),
        ({"budget": 0}, "budget is 0; give the fraction"),
        ({"budget": 1.5}, "budget is 1.5"),
        ({"budget": 0.01, "objective": "sparsity"}, r"cannot be met.*give budget=0\.05"),
        (
            {"budget": 0.01, "objective": "bytes", "allocation": "uniform"},
            r"cannot be met.*give budget=0\.\d+ or more",
        ),
        ({"budget": 0.5, "objective": "watts"}, r"unknown objective 'watts'.*energy"),
        ({"sparsity": 0.5, "allocation": "fair"}, r"unknown allocation 'fair'.*uniform"),
        ({"sparsity": 0.5, "allocation": "cost", "levels": (1.5,)}, "between 0 and 1"),
        ({"sparsity": 0.5, "pattern": []}, "pattern= is empty"),
        ({"sparsity": 0.5, "pattern": ["unstructured", "block"]}, "allocation 'cost'"),
        ({"sparsity": 0.5, "max_drop": 0.1}, "contradict"),
        ({"max_drop": 0.1}, "needs an evaluation"),
        ({"max_drop": -1, "evaluate": lambda m: 1}, "max_drop is -1"),
        ({"max_drop": float("nan"), "evaluate": lambda m: 1}, "max_drop is nan"),
        ({"max_drop": "0.1", "evaluate": lambda m: 1}, "max_drop is '0.1'; give how far"),
        ({"max_drop": np.ones(1), "evaluate": lambda m: 1}, "max_drop is array"),
        ({"budget": torch.ones(2)}, r"budget is tensor\(\[1., 1.\]\); give the fraction"),
        ({"sparsity": True}, "sparsity is True; give the fraction"),
        ({"sparsity": 0.5, "evaluate": 0.9}, "evaluate is 0.9; give a function from the model"),
        ({"sparsity": 0.5, "final_evaluate": "f"}, "final_evaluate is 'f'; give a function"),
        ({"sparsity": 0.5, "threads": 2.5}, "threads is 2.5; give a whole number from 1 up"),
        ({"sparsity": 0.5, "search_seconds": -1}, "search_seconds is -1; give seconds"),
        ({"sparsity": 0.5, "progress": "yes"}, "progress is 'yes'; give True"),
        ({"sparsity": 0.5, "folder": ""}, "'' names no file or folder; give a path"),
        ({"sparsity": 1.5}, "from 0 to 1"),
        ({"sparsity": -0.1}, "from 0 to 1"),
        ({"sparsity": 0.5, "solver": "adam"}, r"unknown solver 'adam'.*magnitude, obs, wanda"),
        ({"sparsity": 0.5, "pattern": "wave"}, r"unknown pattern 'wave'.*unstructured"),
        ({"sparsity": 0.5, "pattern": "block:4"}, r"'block:4' names no block.*block:4x1"),
        ({"sparsity": 0.5, "layers": "head"}, "fits no prunable layer"),
    ],
)
def test_bad_options_are_refused(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        sparsify(model, x, **options)


@pytest.mark.parametrize("name", ["evaluate", "final_evaluate"])
def test_an_evaluation_that_fails_does_so_before_anything_is_solved(
    model: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "prune", lambda *_: pytest.fail("nothing may be pruned"))
    with pytest.raises(EvaluationError, match=f"{name} returned a str; return one number"):
        sparsify(model, x, sparsity=0.5, **{name: lambda m: "good"})


def test_whatever_a_forward_raises_is_one_line() -> None:
    class Divides(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) / (1 // 0)

    with pytest.raises(DataError, match=r"does not run through the model .ZeroDivisionError"):
        sparsify(nn.Sequential(*(Divides(8, 8) for _ in range(3))), x, sparsity=0.5)


def test_numbers_of_other_libraries_are_numbers_in_the_result(model: nn.Module) -> None:
    found = sparsify(model, x, sparsity=np.float32(0.5), threads=np.int64(1))  # type: ignore[arg-type]
    assert json.loads(json.dumps(found.to_dict()))["requested_sparsity"] == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_weight_is_told_by_its_layer(model: nn.Module, bad: float) -> None:
    with torch.no_grad():
        model[2].weight[3, 4] = bad
    with pytest.raises(ModelError, match="layer '2' has a weight that is NaN or infinite"):
        sparsify(model, x, sparsity=0.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "is empty"),
        (x * np.nan, "NaN"),
        ({"pixels": x}, "does not take"),
        (x[:, :5], "batch 1 does not run through the model"),
    ],
)
def test_bad_data_is_refused(model: nn.Module, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sparsify(model, data, sparsity=0.5)


def test_an_evaluation_that_fails_is_told(model: nn.Module) -> None:
    with pytest.raises(EvaluationError, match="NaN"):
        sparsify(model, x, evaluate=lambda m: float("nan"), max_drop=0.1)
    with pytest.raises(EvaluationError, match="ZeroDivisionError"):
        sparsify(model, x, evaluate=lambda m: 1 / 0, max_drop=0.1)


QUICK = {"levels": (0.5, 0.9), "search_seconds": 0.1, "threads": 1}


@pytest.mark.parametrize(
    ("objective", "budget"), [("sparsity", 0.5), ("bytes", 0.7), ("energy", 1), ("latency", 1)]
)
def test_a_budget_is_kept(model: nn.Module, objective: str, budget: float) -> None:
    result = sparsify(model, x, budget=budget, objective=objective, layers=".", **QUICK)
    assert result.cost is not None and result.cost <= budget + 1e-9
    assert (result.allocation, result.objective, result.budget) == ("cost", objective, budget)
    assert result.requested_sparsity is None and not result.trials


@pytest.mark.parametrize("allocation", ["uniform", "erk", "global", "sensitivity"])
def test_any_allocation_keeps_a_budget(model: nn.Module, allocation: str) -> None:
    result = sparsify(
        model, x, budget=0.6, objective="sparsity", allocation=allocation, layers=".", **QUICK
    )
    assert result.sparsity == pytest.approx(0.4, abs=0.002)


@pytest.mark.parametrize("allocation", ["erk", "global", "sensitivity", "cost"])
def test_any_allocation_gives_the_stated_sparsity(model: nn.Module, allocation: str) -> None:
    result = sparsify(model, x, sparsity=0.7, allocation=allocation, layers=".", **QUICK)
    assert result.zeros == round(0.7 * result.weights)
    assert result.allocation == allocation and result.cost is None


def test_layers_smaller_than_a_block_are_pruned_as_far_as_they_go() -> None:
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 40), nn.ReLU(), nn.Linear(40, 2))
    result = sparsify(
        tiny, x, budget=0.6, objective="sparsity", pattern="block:4x8", layers=".", **QUICK
    )
    # One block holds the whole first layer: it stays or goes.
    assert result.layers[0].zeros in (0, 24) and result.layers[2].zeros in (0, 16, 32, 48, 64, 80)
    assert result.sparsity > 0


class Shared(nn.Module):
    """A module that is used twice, and two modules with one weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(8, 8)
        self.tied, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
        self.again.weight = self.tied.weight

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        hidden = self.shared(self.shared(input).relu()).relu()
        return self.again(self.tied(hidden).relu())


@pytest.mark.parametrize("allocation", ["cost", "sensitivity"])
def test_shared_and_tied_layers_are_pruned_once_and_still_shared_after(allocation: str) -> None:
    result = sparsify(
        Shared(), x, budget=0.9, allocation=allocation, objective="bytes", layers=".", **QUICK
    )
    assert [layer.name for layer in result.layers] == ["shared", "tied"]
    assert result.model.tied.weight is result.model.again.weight
    assert result.cost is not None and result.cost <= 0.9


def test_weights_that_are_sparse_already_stay_so(model: nn.Module) -> None:
    with torch.no_grad():
        model[2].weight[:15] = 0
    before = model[2].weight == 0
    result = sparsify(model, x, budget=0.9, objective="bytes", layers=".", **QUICK)
    assert (result.model[2].weight[before] == 0).all()
    assert result.cost is not None and result.cost <= 0.9


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_measured_and_stay_so(
    bert: nn.Module, tokens: dict[str, Any], precision: torch.dtype
) -> None:
    result = sparsify(bert.to(precision), tokens, budget=1, objective="energy", **QUICK)
    assert {parameter.dtype for parameter in result.model.parameters()} == {precision}
    assert len(result.plan) == 12


def test_an_onnx_model_gets_a_mix_too(
    bert: nn.Module, tokens: dict[str, Any], tmp_path: Path
) -> None:
    open_model(bert).export_onnx(tmp_path / "bert.onnx", tokens)
    result = sparsify(tmp_path / "bert.onnx", tokens, budget=1, objective="latency", **QUICK)
    assert isinstance(result.model, onnx.ModelProto) and result.cost is not None
    result = sparsify(tmp_path / "bert.onnx", tokens, sparsity=0.6, allocation="cost", **QUICK)
    assert result.sparsity == pytest.approx(0.6, abs=0.001)


def test_calibration_with_nan_is_refused_before_anything_is_kept(
    model: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="NaN"):
        sparsify(model, x * np.nan, budget=0.5, folder=tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_a_search_without_calibration_is_uniform_and_says_so(model: nn.Module) -> None:
    result = sparsify(
        model, solver="magnitude", evaluate=lambda m: 1 - zeros(m), max_drop=0.3, **QUICK
    )
    assert result.allocation == "uniform" and "no calibration data" in result.notes[0]
    with pytest.raises(DataError, match="needs calibration data"):
        sparsify(model, solver="magnitude", budget=0.5, objective="bytes", **QUICK)


@pytest.mark.parametrize("goal", [{"budget": 0.8}, {"max_drop": 1.0, "evaluate": lambda model: 1}])
def test_a_pattern_of_one_sparsity_meets_a_goal_by_cost_alone(
    bert: nn.Module, tokens: dict[str, Any], goal: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=r"'2:4' always has .* only allocation 'cost'"):
        sparsify(bert, tokens, pattern="2:4", allocation="uniform", **goal)


# What it takes


def test_what_it_took_is_metered_and_adds_up_over_interruptions(
    model: nn.Module, tmp_path: Path
) -> None:
    options = {"budget": 0.6, "objective": "sparsity", "layers": ".", **QUICK}
    once = sparsify(model, x, **options, folder=tmp_path / "job")
    assert once.energy_spent.joules > 0
    assert once.energy_spent.method.startswith(once.energy_spent.kind)
    assert once.energy_spent.cpu_seconds > 0
    again = sparsify(model, x, **options, folder=tmp_path / "job")
    assert again.energy_spent.seconds > once.energy_spent.seconds
    assert again.to_dict()["energy_spent"]["joules"] == again.energy_spent.joules


def test_a_note_of_it_that_is_broken_is_begun_anew(model: nn.Module, tmp_path: Path) -> None:
    options = {"budget": 0.6, "objective": "sparsity", "layers": ".", **QUICK}
    sparsify(model, x, **options, folder=tmp_path / "job")
    (tmp_path / "job" / "energy.json").write_text('{"joules": 5}')
    assert sparsify(model, x, **options, folder=tmp_path / "job").energy_spent.joules > 0
