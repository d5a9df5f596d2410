"""An ONNX model without what is large in it: what is decided before its weights are read.

The message that comes out has all nodes, names, types and shapes. Numbers beyond some kilobytes,
of weights as of the attributes that hold a forest, are left where they are.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import onnx

from gossamer.errors import ModelError, first_line
from gossamer.files import is_file
from gossamer.runtime.wire import BinaryFile, Field, encoded, fields, read_bytes

_LARGE = 4096
"""Bytes from which on a field is taken apart, or left out."""

# The messages within messages, by the numbers of their fields in onnx.proto.
_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_OF_ATTRIBUTES = {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
# An attribute begins with its name; a tensor's numbers lie in these fields.
_NAME = 1
_NUMBERS = {4, 5, 7, 9, 10, 11}


def outline(model: str | Path | bytes | onnx.ModelProto) -> onnx.ModelProto:
    """The model without its large numbers; a loaded one as it is.

    Raises:
        ModelError: if there is no such file, or it is no ONNX model.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    if not isinstance(model, (str, Path, bytes)):
        raise ModelError(
            f"the model is a {type(model).__name__}; give a path, an onnx.ModelProto or its bytes"
        )
    named = "the model" if isinstance(model, bytes) else str(model)
    if not isinstance(model, bytes) and not is_file(model):
        raise ModelError(f"there is no file {named}; check the path")
    try:
        if isinstance(model, bytes):
            content = _reduced(io.BytesIO(model), 0, len(model), "model")
        else:
            with Path(model).open("rb") as file:
                content = _reduced(file, 0, Path(model).stat().st_size, "model")
        return onnx.ModelProto.FromString(content)
    except Exception as error:
        raise ModelError(
            f"{named} is not valid ONNX ({first_line(error)[:200]}); export it anew"
        ) from None


def fingerprint(model: onnx.ModelProto) -> int:
    """A number that changes when somebody changes the loaded model."""
    graph = model.graph
    code = 0
    for parts in (graph.initializer, graph.node, graph.input, graph.output, model.functions):
        for part in parts:
            # One by one: the message of all would be a second model in memory.
            code = zlib.crc32(part.SerializeToString(), code)
    return code


def _reduced(file: BinaryFile, begin: int, end: int, kind: str) -> bytes:
    """The message between two places in a file without its large numbers."""
    content = bytearray()
    for field in fields(file, begin, end):
        if not field.is_bytes or field.size < _LARGE:
            content += read_bytes(file, field.start, field.end)
            continue
        inner = _WITHIN[kind].get(field.number)
        if inner == "attribute":
            content += encoded(field.number, _reduced_attribute(file, field))
        elif inner is not None:
            content += encoded(field.number, _reduced(file, field.begin, field.end, inner))
        elif kind != "tensor" or field.number not in _NUMBERS:
            content += read_bytes(file, field.start, field.end)
    return bytes(content)


def _reduced_attribute(file: BinaryFile, attribute: Field) -> bytes:
    """A large attribute: its name, and the messages in it without their large numbers.

    Each of a list's numbers is a field, and there may be millions: the first one tells.
    """
    content = bytearray()
    for field in fields(file, attribute.begin, attribute.end):
        inner = _OF_ATTRIBUTES.get(field.number) if field.is_bytes else None
        if inner is not None:
            content += encoded(field.number, _reduced(file, field.begin, field.end, inner))
        elif field.number == _NAME:
            content += read_bytes(file, field.start, field.end)
        else:
            break
    return bytes(content)
