"""A mask speaks of its own tokens, and not of whatever has its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gossamer.models import open_model
from gossamer.models.adapter import ModelAdapter
from gossamer.models.padding import Padding, without_padding

Arrays = dict[str, np.ndarray[Any, Any]]

ENCODER = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0]] * 2)
DECODER = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]] * 2)


class Translator(nn.Module):
    """An encoder and a decoder that share a layer and know each other by a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.both = nn.Linear(4, 4)
        self.encoder = nn.Linear(4, 4)
        self.cross = nn.Linear(4, 4)
        self.decoder = nn.Linear(4, 4)
        self.head = nn.Linear(4, 9)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        decoder_input_ids: Tensor,
        decoder_attention_mask: Tensor | None = None,
    ) -> Tensor:
        states = self.cross(self.encoder(self.both(self.embed(input_ids)).relu()).relu())
        memory = (states * attention_mask[..., None]).sum(1, keepdim=True)
        own = self.decoder(self.both(self.embed(decoder_input_ids)).relu())
        if decoder_attention_mask is not None:
            own = own * decoder_attention_mask[..., None]
        return self.head((own + memory).relu())


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Translator().eval()


@pytest.fixture(scope="module")
def data() -> Arrays:
    random = np.random.default_rng(0)
    return {
        "input_ids": random.integers(0, 9, (6, 5)),
        "attention_mask": ENCODER,
        "decoder_input_ids": random.integers(0, 9, (6, 5)),
    }


@pytest.fixture(params=["module", "onnx"])
def adapter(request: Any, model: nn.Module, data: Arrays, tmp_path: Path) -> ModelAdapter:
    if request.param == "module":
        return open_model(model).copy()
    example = data | {"decoder_input_ids": data["decoder_input_ids"][:, :3]}
    open_model(model).export_onnx(tmp_path / "model.onnx", example)
    return open_model(tmp_path / "model.onnx")


def rows_of(adapter: ModelAdapter, batches: list[Arrays]) -> dict[str, int]:
    """Return how many inputs each layer is shown."""
    rows: dict[str, int] = {}
    names = [layer.name for layer in adapter.layers() if layer.kind == "linear"]

    def seen(name: str, inputs: Tensor) -> None:
        short = name.removeprefix("/model/").removesuffix("/MatMul")
        rows[short] = rows.get(short, 0) + len(inputs)

    adapter.capture(batches, names, seen)
    return rows


def test_the_encoder_s_mask_says_nothing_of_the_decoder(
    adapter: ModelAdapter, data: Arrays
) -> None:
    present = int(ENCODER.sum())
    assert rows_of(adapter, [data]) == {
        "both": present + 30,
        "encoder": present,
        "cross": present,
        "decoder": 30,
        "head": 30,
    }
    ((outputs,),) = adapter.outputs([data])
    assert len(outputs) == 30


def test_a_decoder_s_own_mask_speaks_of_it(model: nn.Module, data: Arrays) -> None:
    present, decoded = int(ENCODER.sum()), int(DECODER.sum())
    batch = data | {"decoder_attention_mask": DECODER}
    adapter = open_model(model).copy()
    assert rows_of(adapter, [batch]) == {
        "both": present + decoded,
        "encoder": present,
        "cross": present,
        "decoder": decoded,
        "head": decoded,
    }
    ((outputs,),) = adapter.outputs([batch])
    keep = torch.from_numpy(DECODER.astype(bool))
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(array) for name, array in batch.items()})
    torch.testing.assert_close(outputs, expected[keep])


def test_the_rows_that_remain_are_the_tokens_themselves(model: nn.Module, data: Arrays) -> None:
    shown: dict[str, Tensor] = {}
    open_model(model).copy().capture([data], ["encoder", "decoder"], shown.__setitem__)
    with torch.no_grad():
        for name, given in (("encoder", "input_ids"), ("decoder", "decoder_input_ids")):
            states = model.both(model.embed(torch.from_numpy(data[given]))).relu()
            keep = torch.from_numpy(ENCODER.astype(bool)) if name == "encoder" else ...
            torch.testing.assert_close(shown[name], states[keep].reshape(-1, 4))


def test_where_only_the_mask_s_own_tokens_go_in_the_model_is_not_tried() -> None:
    def shapes(tensors: Any) -> Any:
        raise AssertionError("it was run")

    batch = {"input_ids": ENCODER, "attention_mask": ENCODER, "token_type_ids": ENCODER}
    padding = Padding()
    padding.learn([batch], dict, shapes)
    assert padding.mask(batch, "layer", (6, 5, 4)) is not None
    assert padding.mask(batch, "flat", (30, 4)) is not None
    assert padding.mask(batch, "pooler", (6, 4)) is None


def test_a_model_that_takes_no_other_sizes_goes_by_shapes() -> None:
    def shapes(tensors: Any) -> dict[str, list[tuple[int, ...]]]:
        if tensors["attention_mask"].shape[1] != 5:
            raise RuntimeError("five tokens, please")
        return {"layer": [(6, 5, 4)]}

    batch = {"input_ids": ENCODER, "attention_mask": ENCODER, "pixel_values": np.ones((6, 3))}
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    padding = Padding()
    padding.learn([batch], lambda _: tensors, shapes)
    assert padding.mask(batch, "layer", (6, 5, 4)) is not None


def test_images_may_have_as_many_places_as_a_text_has_tokens() -> None:
    def shapes(tensors: Any) -> dict[str, list[tuple[int, ...]]]:
        samples, tokens = tensors["input_ids"].shape
        return {"text": [(samples, tokens, 4)], "image": [(samples, 5, 4)]}

    batch = {"input_ids": ENCODER, "attention_mask": ENCODER, "pixel_values": np.ones((6, 3))}
    padding = Padding()
    padding.learn(
        [batch],
        lambda _: {name: torch.from_numpy(array) for name, array in batch.items()},
        shapes,
    )
    assert padding.mask(batch, "text", (6, 5, 4)) is not None
    assert padding.mask(batch, "image", (6, 5, 4)) is None


@pytest.mark.parametrize("shape", [(6, 5, 4), (30, 4), (6, 5, 2, 4)])
def test_rows_without_padding_are_those_of_the_mask(shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape)
    keep = torch.from_numpy(ENCODER).bool()
    expected = rows[keep.reshape(-1)] if len(shape) == 2 else rows[keep]
    found = without_padding(rows, torch.from_numpy(ENCODER))
    assert torch.equal(found, expected.reshape(-1, 4))
    assert torch.equal(without_padding(rows, None), rows.reshape(-1, 4))
