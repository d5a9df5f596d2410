from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from gossamer.errors import DataError, ModelError, OutputError
from gossamer.models import open_model

Arrays = dict[str, np.ndarray[Any, Any]]


def exported(model: Any, path: Path, example: Arrays) -> onnxruntime.InferenceSession:
    open_model(model).export_onnx(path, example)
    return onnxruntime.InferenceSession(path)


def shapes(values: Any) -> dict[str, list[Any]]:
    return {value.name: value.shape for value in values}


@pytest.mark.parametrize("types", [False, True])
def test_a_transformer_takes_any_batch_and_length(
    bert: nn.Module, tokens: Arrays, tmp_path: Path, types: bool
) -> None:
    if types:
        tokens["token_type_ids"] = np.zeros_like(tokens["input_ids"])
    session = exported(bert, tmp_path / "bert.onnx", tokens)
    assert shapes(session.get_inputs()) == {name: ["batch", "sequence"] for name in tokens}
    assert shapes(session.get_outputs()) == {"last_hidden_state": ["batch", "sequence", 16]}
    for samples, length in ((1, 3), (4, 8), (3, 1)):
        feeds = {name: array[:samples, :length] for name, array in tokens.items()}
        with torch.no_grad():
            expected = bert(**{name: torch.from_numpy(array) for name, array in feeds.items()})
        np.testing.assert_allclose(
            session.run(None, feeds)[0], expected.last_hidden_state, rtol=1e-4, atol=1e-5
        )


def test_a_head_gives_its_logits(tokens: Arrays, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, num_labels=8
    )
    session = exported(BertForSequenceClassification(config).eval(), tmp_path / "m.onnx", tokens)
    # As many classes as the example has positions: the axis must not be taken for the sequence.
    assert shapes(session.get_outputs()) == {"logits": ["batch", 8]}


def test_a_cnn_keeps_its_geometry_and_argument_name(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    session = exported(cnn, tmp_path / "cnn.onnx", pixels)
    assert shapes(session.get_inputs()) == {"pixels": ["batch", 3, 9, 8]}
    assert shapes(session.get_outputs()) == {"output": ["batch", 4]}
    with torch.no_grad():
        expected = cnn(torch.from_numpy(pixels["pixels"]))
    np.testing.assert_allclose(session.run(None, pixels)[0], expected, rtol=1e-4, atol=1e-5)


def test_half_precision_is_exported_as_float32_and_the_model_left_alone(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    session = exported(cnn.bfloat16(), tmp_path / "cnn.onnx", pixels)
    assert session.get_inputs()[0].type == "tensor(float)"
    assert next(cnn.parameters()).dtype == torch.bfloat16


class Several(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"double": x * 2, "total": x.sum(1)}


def test_outputs_bear_the_model_s_own_keys(tmp_path: Path) -> None:
    session = exported(Several(), tmp_path / "m.onnx", {"x": np.ones((1, 3), np.float32)})
    assert shapes(session.get_outputs()) == {"double": ["batch", 3], "total": ["batch"]}


def test_export_is_silent(
    bert: nn.Module, tokens: Arrays, tmp_path: Path, capfd: Any, recwarn: Any
) -> None:
    open_model(bert).export_onnx(tmp_path / "bert.onnx", tokens)
    assert capfd.readouterr() == ("", "") and not recwarn.list


class Nested(nn.Module):
    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Any:
        return self.shape(x, x * 2)


@dataclasses.dataclass
class Found:
    mean: Tensor
    rest: tuple[Tensor, None]


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (lambda x, y: y, ["output"]),
        (lambda x, y: [[x, y]], ["output_0_0", "output_0_1"]),
        (lambda x, y: {"a": (x, y), "b": y}, ["a_0", "a_1", "b"]),
        (lambda x, y: (y, {"aux": y, "none": None}), ["output_0", "output_1_aux"]),
        (lambda x, y: Found(y, (x, None)), ["mean", "rest_0"]),
        (lambda x, y: {"a": (x,), "a_0": y}, ["a_0", "a_0_"]),
    ],
)
def test_every_tensor_that_forward_returns_is_an_output(
    tmp_path: Path, shape: Any, names: list[str]
) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    session = exported(Nested(shape), tmp_path / "m.onnx", {"x": x})
    assert [value.name for value in session.get_outputs()] == names
    for found in session.run(None, {"x": x}):
        assert np.array_equal(found, x) or np.array_equal(found, 2 * x)


def test_what_may_hold_tensors_unseen_is_named(tmp_path: Path) -> None:
    model = Nested(lambda x, y: {"main": x, "state": object()})
    with pytest.raises(ModelError, match="returns in 'state' a object"):
        open_model(model).export_onnx(tmp_path / "m.onnx", {"x": np.ones((2, 3), np.float32)})


class Typed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, ids: Tensor, scale: Tensor, mask: Tensor) -> Tensor:
        return (self.table(ids) * scale[:, :, None]).masked_fill(mask[:, :, None], 0)


@pytest.mark.parametrize("ids", ["int64", "int32", "int8", "uint8", "uint16"])
@pytest.mark.parametrize("scale", ["float32", "float64", "float16"])
def test_the_example_runs_in_its_own_types(tmp_path: Path, ids: str, scale: str) -> None:
    example = {
        "ids": np.arange(6).reshape(2, 3).astype(ids),
        "scale": np.linspace(0, 1, 6).reshape(2, 3).astype(scale),
        "mask": np.array([[True, False, False], [False, False, True]]),
    }
    model = Typed()
    session = exported(model, tmp_path / "m.onnx", example)
    if ids == "uint16":
        # Torch knows the type, but hardly an operator for it.
        example["ids"] = example["ids"].astype(np.int64)
    expected = model(
        *(
            torch.from_numpy(example["ids"].astype(np.int64)),
            torch.from_numpy(example["scale"]).float(),
            torch.from_numpy(example["mask"]),
        )
    )
    np.testing.assert_allclose(session.run(None, example)[0], expected.detach(), atol=1e-6)


def test_encoder_and_decoder_have_lengths_of_their_own(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    model = T5ForConditionalGeneration(
        T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    ).eval()
    random = np.random.default_rng(0)

    def feeds(samples: int, length: int, other: int) -> Arrays:
        return {
            "input_ids": random.integers(0, 40, (samples, length)),
            "attention_mask": np.ones((samples, length), np.int64),
            "decoder_input_ids": random.integers(0, 40, (samples, other)),
        }

    # Of one length in the example, which must not tie them together.
    session = exported(model, tmp_path / "t5.onnx", feeds(2, 8, 8))
    for samples, length, other in ((2, 8, 8), (1, 9, 4), (3, 2, 7), (1, 1, 1)):
        given = feeds(samples, length, other)
        with torch.no_grad():
            expected = model(**{name: torch.from_numpy(array) for name, array in given.items()})
        np.testing.assert_allclose(session.run(None, given)[0], expected.logits, atol=1e-4)


def test_a_recurrent_network_with_the_time_first_takes_its_state(tmp_path: Path) -> None:
    model = nn.GRU(4, 6)
    random = np.random.default_rng(0)

    def feeds(time: int) -> Arrays:
        shapes = {"input": (time, 3, 4), "hx": (1, 3, 6)}
        return {n: random.standard_normal(shape).astype("f4") for n, shape in shapes.items()}

    session = exported(model, tmp_path / "gru.onnx", feeds(5))
    assert shapes(session.get_inputs()) == {"input": ["batch", 3, 4], "hx": [1, 3, 6]}
    assert [value.name for value in session.get_outputs()] == ["output_0", "output_1"]
    for time in (5, 9, 1):
        given = feeds(time)
        expected = model(*map(torch.from_numpy, given.values()))
        for found, other in zip(session.run(None, given), expected, strict=True):
            np.testing.assert_allclose(found, other.detach(), atol=1e-5)


def test_stated_axes_are_open(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    example = {"input": np.ones((2, 5, 4), np.float32)}
    open_model(model).export_onnx(tmp_path / "m.onnx", example, {"input": {1: "time"}})
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert shapes(session.get_inputs()) == {"input": [2, "time", 4]}


class Folding(nn.Module):
    """Something that the tracing exporter has no operator for, within named modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Sequential(nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return torch.diff(self.head(x), dim=-1, prepend=x[..., :1])


class Plain(Folding):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x)


@pytest.mark.parametrize("rank", [2, 3])
def test_layers_have_the_same_names_whichever_exporter_writes_them(
    tmp_path: Path, rank: int, capfd: Any
) -> None:
    x = {"x": np.random.default_rng(0).standard_normal((3,) * (rank - 1) + (4,)).astype("f4")}
    named = []
    for number, model in enumerate((Folding(), Plain())):
        session = exported(model, tmp_path / f"{number}.onnx", x)
        expected = model(torch.from_numpy(x["x"])).detach()
        np.testing.assert_allclose(session.run(None, x)[0], expected, atol=1e-5)
        assert session.get_inputs()[0].shape[0] == session.get_outputs()[0].shape[0] == "batch"
        graph = onnx.load(tmp_path / f"{number}.onnx").graph
        named.append([n.name for n in graph.node if n.op_type in ("MatMul", "Gemm")])
    assert named[0] == named[1]
    operator = "Gemm" if rank == 2 else "MatMul"
    assert named[0] == [f"/model/{n}/{operator}" for n in ("layers.0", "layers.1", "head/head.0")]
    # The first exporter's failure is no affair of the user's.
    assert capfd.readouterr() == ("", "")


class Freezing(nn.Module):
    """A size that the tracing exporter takes for a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return x / math.sqrt(int(x.shape[0])) + torch.linspace(0, 1, int(x.shape[0]))[:, None]


def test_a_size_that_is_frozen_in_the_trace_is_noticed(tmp_path: Path) -> None:
    model = Freezing()
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    session = exported(model, tmp_path / "m.onnx", {"x": x})
    size = session.get_inputs()[0].shape[0]
    for samples in (3, 2, 1) if size == "batch" else (3,):
        part = x[:samples]
        found = session.run(None, {"x": part})[0]
        np.testing.assert_allclose(found, model(torch.from_numpy(part)), atol=1e-5)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x - 1


def test_a_branch_on_values_is_refused_and_not_frozen(tmp_path: Path, capfd: Any) -> None:
    with pytest.raises(ModelError, match="without branches on values"):
        open_model(Branching()).export_onnx(tmp_path / "m.onnx", {"x": np.ones((2, 3), "f4")})
    assert capfd.readouterr() == ("", "")


class Drawing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_a_module_that_draws_numbers_is_not_held_against_them(tmp_path: Path) -> None:
    session = exported(Drawing(), tmp_path / "m.onnx", {"x": np.zeros((2, 3), np.float32)})
    assert session.run(None, {"x": np.zeros((4, 3), np.float32)})[0].shape == (4, 3)


@pytest.mark.parametrize(
    "family",
    [
        "GPT2",
        pytest.param("Llama", marks=pytest.mark.slow),
        pytest.param("Mixtral", marks=pytest.mark.slow),
    ],
)
def test_language_models_are_exported_from_token_ids_alone(
    tmp_path: Path, family: str, capfd: Any
) -> None:
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if family != "GPT2":
        sizes |= {"intermediate_size": 24, "num_key_value_heads": 1}
    if family == "Mixtral":
        sizes["num_local_experts"] = 3
    config = getattr(transformers, f"{family}Config")(**sizes)
    name = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    # In training mode: what is exported is the model as it infers.
    model = getattr(transformers, name)(config).train()
    capfd.readouterr()
    ids = np.random.default_rng(0).integers(0, 40, (2, 6))
    session = exported(model, tmp_path / "m.onnx", {"input_ids": ids})
    assert capfd.readouterr() == ("", "") and model.training
    for part in (ids, ids[:1, :4], ids[:, :1]):
        with torch.no_grad():
            expected = model.eval()(input_ids=torch.from_numpy(part)).logits
        np.testing.assert_allclose(session.run(None, {"input_ids": part})[0], expected, atol=1e-4)


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x)[1]


def test_what_goes_wrong_is_said_and_leaves_no_file(
    cnn: nn.Module, pixels: Arrays, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="cannot be exported"):
        open_model(Untraceable()).export_onnx(tmp_path / "m.onnx", {"x": np.eye(3, dtype="f4")})
    with pytest.raises(DataError, match="example inputs do not run"):
        open_model(cnn).export_onnx(tmp_path / "m.onnx", {"pixels": np.ones((2, 2), "f4")})
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot write"):
        open_model(cnn).export_onnx(tmp_path / "no" / "m.onnx", pixels)
