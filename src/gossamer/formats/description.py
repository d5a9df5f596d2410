"""The versioned description in a sparse file's metadata: what it writes, what it accepts.

The metadata holds two strings: `gossamer`, a JSON object, and `gossamer_crc32`, its checksum.

    {"format": "gossamer-sparse", "version": 1,
     "tensors": [
       {"name": "fc.weight", "dtype": "float32", "shape": [64, 128], "encoding": "sparse",
        "values": "float32", "nonzeros": 819, "crc32": 1234},
       {"name": "fc.bias", "dtype": "float32", "shape": [64], "encoding": "dense",
        "values": "float32", "nonzeros": 64, "crc32": 5678},
       {"name": "head.weight", "same_as": "fc.weight", "transposed": false}],
     "graph": {"bytes": 1801, "crc32": 9012, "bindings": {"onnx::MatMul_7": "fc.weight"}}}

`tensors` keeps the order of the model. `values` is the type the elements are stored in, which is
`float16` where half precision was asked for. A tensor with `"graph_only": true` belongs to the
ONNX graph alone and is no part of the state dict.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from gossamer.errors import ModelError
from gossamer.formats.dtypes import NAMES
from gossamer.formats.json_text import parse_json

FORMAT = "gossamer-sparse"
VERSION = 1
_KEY, _CHECKSUM_KEY = "gossamer", "gossamer_crc32"
# What numpy can hold, with some room for the bytes of an element.
_MAX_DIMENSIONS = 32
_MAX_ELEMENTS = 2**58


class Malformed(Exception):
    """A file that contradicts itself; the reader turns it into a `ModelError` with the path."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor with data of its own.

    `dtype` and `shape` are those of the tensor that is restored; `values` is the type its elements
    are stored in; `nonzeros` counts the elements that are not zero (NaN is not zero, -0.0 is).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    encoding: Literal["sparse", "dense"]
    values: str
    nonzeros: int
    crc32: int
    graph_only: bool = False

    @property
    def size(self) -> int:
        """Number of elements, zeros included."""
        return prod(self.shape)

    def container_keys(self) -> tuple[str, ...]:
        """Return the names under which the container holds the parts of this tensor.

        The prefixes keep every name a model can choose apart from the container's own names.
        """
        if self.encoding == "sparse":
            return (f"mask:{self.name}", f"values:{self.name}")
        return (f"dense:{self.name}",)


@dataclass(frozen=True)
class SameTensor:
    """A tensor that equals an earlier one, transposed where it says so: tied weights."""

    name: str
    same_as: str
    transposed: bool = False
    graph_only: bool = False


@dataclass(frozen=True)
class GraphDescription:
    """The carried ONNX graph: its size and checksum, and the tensor behind each stripped weight."""

    bytes: int
    crc32: int
    bindings: dict[str, str]

    KEY = "graph:onnx"


@dataclass(frozen=True)
class Description:
    """What a sparse file holds. Tensors are in the order of the model that was saved."""

    tensors: tuple[StoredTensor | SameTensor, ...]
    graph: GraphDescription | None = None
    version: int = VERSION
    by_name: dict[str, StoredTensor | SameTensor] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for tensor in self.tensors:
            if tensor.name in self.by_name:
                raise Malformed(f"tensor {tensor.name!r} is described twice")
            if isinstance(tensor, SameTensor):
                source = self.by_name.get(tensor.same_as)
                if not isinstance(source, StoredTensor):
                    raise Malformed(f"tensor {tensor.name!r} refers to no earlier tensor")
                if tensor.transposed and len(source.shape) != 2:
                    raise Malformed(f"tensor {tensor.name!r} transposes one without two axes")
            self.by_name[tensor.name] = tensor
        for tensor_name in self.graph.bindings.values() if self.graph else ():
            if tensor_name not in self.by_name:
                raise Malformed(f"the graph refers to tensor {tensor_name!r}, which is missing")

    def container_keys(self) -> set[str]:
        """Return every name that the container must hold, no more and no fewer."""
        keys = {
            key for t in self.tensors if isinstance(t, StoredTensor) for key in t.container_keys()
        }
        return keys | {GraphDescription.KEY} if self.graph else keys

    def to_metadata(self) -> dict[str, str]:
        """Return the safetensors metadata that describes the file."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "tensors": [_tensor_to_json(tensor) for tensor in self.tensors],
        }
        if self.graph is not None:
            document["graph"] = {
                "bytes": self.graph.bytes,
                "crc32": self.graph.crc32,
                "bindings": self.graph.bindings,
            }
        text = json.dumps(document, separators=(",", ":"))
        return {_KEY: text, _CHECKSUM_KEY: f"{zlib.crc32(text.encode()):08x}"}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, file: str) -> Description:
        """Read the metadata of `file` back.

        Raises:
            ModelError: if another program wrote the file, or a version this one does not know.
            Malformed: if the description was damaged.
        """
        if not metadata or _KEY not in metadata:
            raise ModelError(
                f"{file} is a safetensors file that Gossamer did not write; "
                "open it with the program that did, and save the model with gossamer.save"
            )
        text = metadata[_KEY]
        if metadata.get(_CHECKSUM_KEY) != f"{zlib.crc32(text.encode()):08x}":
            raise Malformed("the description does not match its checksum")
        try:
            document = parse_json(text)
        except ValueError as error:
            raise Malformed("the description is not JSON") from error
        document = _object(document)
        if document.get("format") != FORMAT:
            raise Malformed("the description names another format")
        version = _count(document, "version")
        if version != VERSION:
            raise ModelError(
                f"{file} has format version {version} and this Gossamer reads version {VERSION}; "
                "install a Gossamer that matches, or save the model again"
            )
        tensors = document.get("tensors")
        if not isinstance(tensors, list):
            raise Malformed("the description lists no tensors")
        graph = document.get("graph")
        return cls(
            tuple(_tensor_from_json(_object(tensor)) for tensor in tensors),
            None if graph is None else _graph_from_json(_object(graph)),
        )


def _tensor_to_json(tensor: StoredTensor | SameTensor) -> dict[str, Any]:
    document = dict(vars(tensor))
    if not tensor.graph_only:
        del document["graph_only"]
    return document


def _tensor_from_json(document: dict[str, Any]) -> StoredTensor | SameTensor:
    name = _text(document, "name")
    graph_only = _flag(document, "graph_only")
    if "same_as" in document:
        return SameTensor(
            name, _text(document, "same_as"), _flag(document, "transposed"), graph_only
        )
    dtype, values, encoding = (_text(document, key) for key in ("dtype", "values", "encoding"))
    shape: Any = document.get("shape")
    if dtype not in NAMES or values not in (dtype, "float16"):
        raise Malformed(f"tensor {name!r} has the unknown type {dtype}/{values}")
    if values != dtype and dtype not in ("float32", "float64"):
        raise Malformed(f"tensor {name!r} of type {dtype} cannot hold values of type {values}")
    if not _is_shape(shape):
        raise Malformed(f"tensor {name!r} has no valid shape")
    if encoding not in ("sparse", "dense"):
        raise Malformed(f"tensor {name!r} has the unknown encoding {encoding!r}")
    return StoredTensor(
        name=name,
        dtype=dtype,
        shape=tuple(shape),
        encoding="sparse" if encoding == "sparse" else "dense",
        values=values,
        nonzeros=_count(document, "nonzeros"),
        crc32=_count(document, "crc32"),
        graph_only=graph_only,
    )


def _graph_from_json(document: dict[str, Any]) -> GraphDescription:
    bindings = _object(document.get("bindings"))
    if not all(isinstance(tensor, str) for tensor in bindings.values()):
        raise Malformed("the graph refers to tensors by something other than their names")
    return GraphDescription(_count(document, "bytes"), _count(document, "crc32"), bindings)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("the description has the wrong structure")
    return value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_shape(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > _MAX_DIMENSIONS:
        return False
    # numpy multiplies up the other axes even where one is empty.
    return all(map(_is_count, value)) and prod(max(1, side) for side in value) < _MAX_ELEMENTS


def _count(document: dict[str, Any], key: str) -> int:
    value = document.get(key)
    if not _is_count(value):
        raise Malformed(f"the description has no valid {key!r}")
    assert isinstance(value, int)
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise Malformed(f"the description has no valid {key!r}")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise Malformed(f"the description has no valid {key!r}")
    return value
