"""What `evaluate` receives: one way to use a model, in every verb and for every form of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.errors import DataError, ModelError, OptionError
from gossamer.models import open_model
from gossamer.models.evaluated import Evaluated, Outputs
from gossamer.models.onnx_model import OnnxModel
from gossamer.models.source import as_onnx
from gossamer.verbs.compare import scored

Evaluate = Callable[[Any], Any]

X = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
T = torch.from_numpy(X)
IDS = np.random.default_rng(0).integers(0, 40, (5, 7))
MASK = (np.arange(7) < np.array([[7], [5], [6], [7], [3]])).astype(np.int64)


class Classifier(nn.Module):
    """Two layers, with an attribute, a property and a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.last = nn.Linear(16, 3)
        self.labels = ["a", "b", "c"]

    def forward(self, x: torch.Tensor, hidden: bool = False) -> Any:
        found = self.first(x).relu()
        logits = self.last(found)
        return {"logits": logits, "hidden": found} if hidden else logits

    @property
    def best(self) -> str:
        return self.labels[0]

    def predict(self, x: torch.Tensor) -> list[str]:
        return [self.labels[one] for one in self(x).argmax(dim=1)]

    def project(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x)


@pytest.fixture(scope="module")
def classifier() -> nn.Module:
    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture(scope="module")
def onnx_classifier(classifier: nn.Module) -> onnx.ModelProto:
    return as_onnx(classifier, X[:2])


@pytest.fixture(scope="module")
def expected(onnx_classifier: onnx.ModelProto) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(onnx_classifier.SerializeToString())
    (found,) = session.run(None, {"x": X})
    return np.asarray(found)


def by_onnx_runtime(model: onnx.ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString())


def evaluated(model: onnx.ModelProto, like: nn.Module | None = None) -> Evaluated:
    adapter = OnnxModel(model, session=by_onnx_runtime)
    with adapter.evaluated(like=None if like is None else open_model(like)) as given:
        return given


# --- An ONNX model alone


def test_an_onnx_model_is_called_with_arrays_or_tensors_and_answers_in_kind(
    onnx_classifier: onnx.ModelProto, expected: np.ndarray[Any, Any]
) -> None:
    model = evaluated(onnx_classifier)
    for given in (model(X), model(x=X), model(X.astype(np.float64)), model.forward(X)):
        assert isinstance(given, np.ndarray)
        np.testing.assert_allclose(given, expected, rtol=1e-6)
    for tensor in (model(T), model(x=T), model(T.double()), model(T.clone().requires_grad_())):
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6)


def test_it_is_a_session(onnx_classifier: onnx.ModelProto, expected: np.ndarray[Any, Any]) -> None:
    model = evaluated(onnx_classifier)
    (name,) = (port.name for port in model.get_outputs())
    for given in (X, T):
        (found,) = model.run([name], {model.get_inputs()[0].name: given})
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert model.get_providers() == ["CPUExecutionProvider"]


def test_what_a_function_for_modules_does_first_does_nothing(
    onnx_classifier: onnx.ModelProto,
) -> None:
    model = evaluated(onnx_classifier)
    assert model.eval().to("cpu").float().requires_grad_(False).train(False) is model
    assert next(model.parameters()).device == torch.device("cpu")
    assert model.training is False
    weights = dict(model.named_parameters())
    held = {tensor.name: list(tensor.dims) for tensor in onnx_classifier.graph.initializer}
    assert {name: list(weight.shape) for name, weight in weights.items()} == held
    with pytest.raises(DataError, match="cannot be put in training mode"):
        model.train()
    with pytest.raises(AttributeError, match="no attribute 'first': the model is an ONNX model"):
        _ = model.first


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((X, X), {}, "the model takes 'x', not 2 arguments"),
        ((X,), {"x": X}, "was given 'x' twice"),
        ((X,), {"mask": X}, "takes 'x', not 'mask'; leave it out"),
        ((X,), {"output_hidden_states": True}, "has no option 'output_hidden_states'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    onnx_classifier: onnx.ModelProto, args: Any, kwargs: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluated(onnx_classifier)(*args, **kwargs)


def test_several_outputs_come_by_number_by_name_and_as_attributes(
    onnx_classifier: onnx.ModelProto,
) -> None:
    model = copy.deepcopy(onnx_classifier)
    inner = next(node.output[0] for node in model.graph.node if node.op_type == "Relu")
    model.graph.output.append(onnx.helper.make_tensor_value_info(inner, 1, ["n", 16]))
    found = evaluated(model)(T)
    assert isinstance(found, Outputs)
    assert found.names == ("output", inner)
    assert found[0] is found["output"] is found.output
    assert [tuple(one.shape) for one in found] == [(12, 3), (12, 16)]
    with pytest.raises(KeyError, match="the outputs are output, "):
        _ = found["logits"]
    assert not hasattr(copy.copy(found), "logits")


# --- An ONNX model beside the module


def test_beside_a_module_it_is_called_and_answers_as_the_module(
    classifier: nn.Module, onnx_classifier: onnx.ModelProto
) -> None:
    model = evaluated(onnx_classifier, classifier)
    with torch.no_grad():
        plain, both = classifier(T), classifier(T, hidden=True)
    torch.testing.assert_close(model(T), plain)
    torch.testing.assert_close(model(x=T), plain)
    # The form is the module's, also of what the ONNX model does not give.
    found = model(T, hidden=True)
    assert found.keys() == both.keys()
    torch.testing.assert_close(found["logits"], plain)
    assert found["hidden"] is None
    np.testing.assert_allclose(model(X), plain.numpy(), rtol=1e-5)


def test_it_has_the_module_s_own_attributes_and_methods(
    classifier: nn.Module, onnx_classifier: onnx.ModelProto
) -> None:
    model = evaluated(onnx_classifier, classifier)
    assert isinstance(classifier, Classifier)
    assert model.labels == ["a", "b", "c"]
    assert model.best == "a"
    assert model.predict(T) == classifier.predict(T)


@pytest.mark.parametrize("use", [lambda m: m.first, lambda m: m.project(T), lambda m: m.modules])
def test_it_does_not_have_the_module_s_layers_and_weights(
    classifier: nn.Module, onnx_classifier: onnx.ModelProto, use: Callable[[Any], Any]
) -> None:
    with pytest.raises(AttributeError, match="which has no layers and modules"):
        use(evaluated(onnx_classifier, classifier))


def test_its_answers_are_the_onnx_model_s_and_not_the_module_s(
    classifier: nn.Module, onnx_classifier: onnx.ModelProto, expected: np.ndarray[Any, Any]
) -> None:
    other = copy.deepcopy(classifier)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    model = evaluated(onnx_classifier, other)
    np.testing.assert_allclose(model(T).numpy(), expected, rtol=1e-5)
    assert all(torch.count_nonzero(one) for one in model.parameters())


def test_a_module_of_another_kind_is_no_likeness(onnx_classifier: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match=r"\[12, 3\] where the module gives 'output' of \[12, 5\]"):
        evaluated(onnx_classifier, nn.Linear(6, 5))(T)


# --- Transformers


@pytest.fixture(scope="module")
def text_model() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        num_labels=3,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def onnx_text_model(text_model: nn.Module) -> onnx.ModelProto:
    return as_onnx(text_model, {"input_ids": IDS[:2], "attention_mask": MASK[:2]})


def tokens(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"input_ids": torch.from_numpy(IDS), "attention_mask": torch.from_numpy(MASK), **more}


def test_beside_a_transformers_model_it_returns_its_model_output(
    text_model: nn.Module, onnx_text_model: onnx.ModelProto
) -> None:
    from transformers.modeling_outputs import SequenceClassifierOutput

    model = evaluated(onnx_text_model, text_model)
    with torch.no_grad():
        logits = text_model(**tokens()).logits
    found = model(**tokens())
    assert isinstance(found, SequenceClassifierOutput)
    for one in (found.logits, found[0], found["logits"], model(**tokens(), return_dict=False)[0]):
        torch.testing.assert_close(one, logits, rtol=1e-4, atol=1e-5)
    assert model.config is text_model.config
    assert model.device == torch.device("cpu")


def test_arguments_that_say_nothing_may_come_or_be_missing(
    text_model: nn.Module, onnx_text_model: onnx.ModelProto
) -> None:
    ids = torch.from_numpy(IDS)
    with torch.no_grad():
        unmasked = text_model(ids).logits
    for like in (None, text_model):
        model = evaluated(onnx_text_model, like)
        zeros = torch.zeros_like(ids)
        torch.testing.assert_close(
            model(**tokens(token_type_ids=zeros)).logits, model(**tokens()).logits
        )
        torch.testing.assert_close(model(ids).logits, unmasked, rtol=1e-4, atol=1e-5)
        with pytest.raises(DataError, match="not 'token_type_ids'"):
            model(**tokens(token_type_ids=zeros + 1))


def test_an_exported_transformers_model_answers_by_name_by_itself(
    text_model: nn.Module, onnx_text_model: onnx.ModelProto
) -> None:
    found = evaluated(onnx_text_model)(**tokens(), return_dict=True)
    with torch.no_grad():
        torch.testing.assert_close(
            found.logits, text_model(**tokens()).logits, rtol=1e-4, atol=1e-5
        )
    assert found[0] is found["logits"] is found.logits


# --- One function in every verb, for every form of a model


def in_tensors(model: Any) -> Any:
    """As for a module: one score a sample."""
    model = model.eval().to("cpu")
    assert next(model.parameters()).device.type == "cpu"
    with torch.inference_mode():
        return (model(T).argmax(dim=1) == 0).float()


def in_arrays(model: Any) -> Any:
    """As for an array function."""
    return [float(one) for one in np.asarray(model(X)).argmax(axis=1) == 0]


def as_session(model: Any) -> Any:
    """As for a session."""
    name = model.get_outputs()[0].name
    given = model.run([name], {model.get_inputs()[0].name: X})[0]
    return [float(one) for one in given.argmax(axis=1) == model.run(None, {"x": X})[0].argmin(1)]


FORMS = ("module", "function", "proto", "onnx", "sparse", "folder", "result")
EVALUATIONS: tuple[Evaluate, ...] = (in_tensors, in_arrays, as_session)


@pytest.fixture(scope="module")
def forms(
    classifier: nn.Module,
    onnx_classifier: onnx.ModelProto,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("forms")
    onnx.save(onnx_classifier, folder / "classifier.onnx")
    gs.save(onnx_classifier, folder / "classifier.gossamer.safetensors")
    torch.save(classifier.state_dict(), folder / "weights.pt")
    (folder / "made.py").write_text(
        "import torch\n"
        "class Classifier(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.last = torch.nn.Linear(6, 16), torch.nn.Linear(16, 3)\n"
        "    def forward(self, x):\n"
        "        return self.last(self.first(x).relu())\n"
        "def made():\n"
        "    model = Classifier()\n"
        f"    model.load_state_dict(torch.load({str(folder / 'weights.pt')!r}))\n"
        "    return model\n"
    )
    # A sparsity of nothing: every form is the same model.
    result = gs.sparsify(classifier, X, sparsity=0.0, layers=".*", solver="magnitude")
    result.save(folder / "out", example_inputs={"x": X[:1]})
    return {
        "module": classifier,
        "function": f"{folder / 'made.py'}:made",
        "proto": onnx_classifier,
        "onnx": folder / "classifier.onnx",
        "sparse": folder / "classifier.gossamer.safetensors",
        "folder": str(folder / "out"),
        "result": result,
    }


@pytest.mark.parametrize("form", [form for form in FORMS if form != "result"])
@pytest.mark.parametrize("evaluate", EVALUATIONS)
def test_sparsify_calls_one_function_for_every_form(
    forms: dict[str, Any], form: str, evaluate: Evaluate
) -> None:
    made = gs.sparsify(
        forms[form], {"x": X}, sparsity=0.0, solver="magnitude", layers=".*", evaluate=evaluate,
        final_evaluate=evaluate,
    )  # fmt: skip
    assert made.score == made.dense_score == made.final_score
    assert made.drop == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other", ["module", "onnx"])
def test_compare_calls_one_function_for_every_form(
    forms: dict[str, Any], form: str, other: str
) -> None:
    given = getattr(forms[form], "model", forms[form])
    for evaluate in EVALUATIONS:
        for one, two in ((given, forms[other]), (forms[other], given)):
            (scores,) = scored(one, [two], evaluate, {"x": X[:1]})
            assert scores is not None
            assert scores.dense == scores.sparse


@pytest.mark.parametrize("form", FORMS)
def test_a_function_of_the_module_s_own_ways_is_called_for_every_form(
    forms: dict[str, Any], form: str
) -> None:
    def own(model: Any) -> Any:
        found = model(T, hidden=True)["logits"]
        assert [model.labels[one] for one in found.argmax(dim=1)] == model.predict(T)
        return (found.argmax(dim=1) == 0).float()

    if form == "function":
        pytest.skip("another module, without these ways")
    given = getattr(forms[form], "model", forms[form])
    (scores,) = scored(forms["module"], [given], own, {"x": X[:1]})
    assert scores is not None
    assert scores.dense == scores.sparse


@pytest.mark.parametrize("evaluate", EVALUATIONS)
def test_recover_calls_the_same_function(classifier: nn.Module, evaluate: Evaluate) -> None:
    sparse = gs.sparsify(classifier, X, sparsity=0.5, layers=".*", solver="magnitude")
    found = gs.recover(sparse, classifier, X, steps=1, batch_size=12, evaluate=evaluate)
    assert found.before is not None
    assert found.after is not None
    assert found.before.dense == found.after.dense


def test_in_sparsify_and_recover_a_module_is_a_module(classifier: nn.Module) -> None:
    seen = []

    def evaluate(model: Any) -> float:
        seen.append(isinstance(model, Classifier))
        return 1.0

    sparse = gs.sparsify(classifier, X, sparsity=0.5, layers=".*", evaluate=evaluate)
    gs.recover(sparse, classifier, X, steps=1, batch_size=12, evaluate=evaluate)
    assert seen == [True] * 5


def test_without_data_what_a_module_gives_is_not_known_before_it_runs(
    classifier: nn.Module,
) -> None:
    with open_model(classifier).copy().evaluated() as model:
        assert [port.name for port in model.get_inputs()] == ["x"]
        with pytest.raises(DataError, match="known by running it on data"):
            model.get_outputs()
        with pytest.raises(OptionError, match="no output 'logits'; the outputs are output"):
            model.run(["logits"], {"x": X})
        with pytest.raises(DataError, match="must be a dict of arrays by name"):
            model.run(None, [X])


def test_compare_hands_both_models_to_a_function_for_the_module(
    classifier: nn.Module, forms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def evaluate(model: Any) -> Any:
        seen.append(type(model).__name__)
        return in_tensors(model)

    def stop(*_: Any, **__: Any) -> None:
        raise InterruptedError

    monkeypatch.setattr("gossamer.verbs.compare.measure", stop)
    with pytest.raises(InterruptedError):
        gs.compare(classifier, forms["sparse"], X, evaluate=evaluate, threads=1, rivals=False)
    assert seen == ["Classifier", "Evaluated"]
