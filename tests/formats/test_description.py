"""The description: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from gossamer.errors import ModelError
from gossamer.formats.description import (
    Description,
    GraphDescription,
    Malformed,
    SameTensor,
    StoredTensor,
)

WEIGHT = StoredTensor("fc.weight", "float32", (4, 6), "sparse", "float16", 5, 123)
STEPS = StoredTensor("steps", "int64", (), "dense", "int64", 1, 7)
TIED = SameTensor("head", "fc.weight", transposed=True)
ONLY = StoredTensor("folded", "bool", (0, 3), "dense", "bool", 0, 0, graph_only=True)
GRAPH = GraphDescription(321, 99, {"onnx::MatMul_3": "head", "folded": "folded"})


def metadata(document: Any) -> dict[str, str]:
    text = document if isinstance(document, str) else json.dumps(document)
    return {"gossamer": text, "gossamer_crc32": f"{zlib.crc32(text.encode()):08x}"}


def document() -> dict[str, Any]:
    loaded = json.loads(Description((WEIGHT, STEPS, TIED, ONLY), GRAPH).to_metadata()["gossamer"])
    assert isinstance(loaded, dict)
    return loaded


def test_a_description_survives_the_metadata() -> None:
    description = Description((WEIGHT, STEPS, TIED, ONLY), GRAPH)
    assert Description.from_metadata(description.to_metadata(), "f") == description


def test_the_container_keys_follow_from_it() -> None:
    assert Description((WEIGHT, STEPS, TIED, ONLY), GRAPH).container_keys() == {
        "mask:fc.weight",
        "values:fc.weight",
        "dense:steps",
        "dense:folded",
        "graph:onnx",
    }


@pytest.mark.parametrize("found", [None, {}, {"format": "pt"}])
def test_another_programs_file_is_named_as_such(found: dict[str, str] | None) -> None:
    with pytest.raises(ModelError, match=r"m\.safetensors is a safetensors file that Gossamer did"):
        Description.from_metadata(found, "m.safetensors")


def test_an_unknown_version_names_both() -> None:
    with pytest.raises(ModelError, match="version 2 and this Gossamer reads version 1; install"):
        Description.from_metadata(metadata({**document(), "version": 2}), "f")


def test_a_changed_character_breaks_the_checksum() -> None:
    changed = Description((WEIGHT,)).to_metadata()
    changed["gossamer"] = changed["gossamer"].replace("[4,6]", "[6,4]")
    with pytest.raises(Malformed, match="checksum"):
        Description.from_metadata(changed, "f")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": "1"},
        {"version": True},
        {"tensors": None},
        {"tensors": ["w"]},
        {"graph": []},
        {"graph": {"bytes": 1, "crc32": 1}},
        {"graph": {"bytes": 1, "crc32": 1, "bindings": {"w": 3}}},
        {"graph": {"bytes": 1, "crc32": 1, "bindings": {"w": "absent"}}},
        {"graph": {"bytes": -1, "crc32": 1, "bindings": {}}},
    ],
)
def test_a_wrong_document_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Description.from_metadata(metadata({**document(), **change}), "f")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"version":' + "9" * 5000 + "}"])
def test_text_that_is_no_description_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        Description.from_metadata(metadata(text), "f")


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"dtype": "object"},
        {"dtype": "int8", "values": "float16"},
        {"values": "float64"},
        {"shape": [4, -6]},
        {"shape": [4, 6.0]},
        {"shape": [2**63, 1]},
        {"shape": [0, 2**62]},
        {"shape": [1] * 33},
        {"shape": "46"},
        {"encoding": "zip"},
        {"nonzeros": True},
        {"nonzeros": None},
        {"crc32": "1"},
        {"graph_only": 1},
    ],
)
def test_a_wrong_tensor_is_malformed(change: dict[str, Any]) -> None:
    right = document()["tensors"][0]
    alone = {key: value for key, value in document().items() if key != "graph"}
    assert Description.from_metadata(metadata({**alone, "tensors": [right]}), "f").tensors
    with pytest.raises(Malformed):
        Description.from_metadata(metadata({**alone, "tensors": [{**right, **change}]}), "f")


@pytest.mark.parametrize(
    "tensors",
    [
        (WEIGHT, WEIGHT),
        (SameTensor("a", "b"),),
        (SameTensor("head", "fc.weight"), WEIGHT),
        (WEIGHT, TIED, SameTensor("tail", "head")),
        (STEPS, SameTensor("other", "steps", transposed=True)),
    ],
    ids=["twice", "nothing", "later", "chain", "not two axes"],
)
def test_references_must_lead_to_one_earlier_stored_tensor(tensors: Any) -> None:
    with pytest.raises(Malformed):
        Description(tensors)
