"""The encoding of protocol buffers: the fields of a message in a file, without reading them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from gossamer.errors import ModelError

BinaryFile: TypeAlias = "io.BufferedReader | io.BytesIO"

_BYTES = 2
# Bytes of numbers of a fixed size, by the kind in a field's key.
_SIZES = {1: 8, 5: 4}


@dataclass(frozen=True)
class Field:
    """A field of a message."""

    number: int
    is_bytes: bool
    """Whether its content is a run of bytes: a string, a message, packed numbers."""
    start: int
    """Where its key lies, then where its content begins and ends."""
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return self.end - self.begin


def fields(file: BinaryFile, begin: int, end: int) -> Iterator[Field]:
    """The fields of the message that lies between two places in a file.

    Raises:
        ModelError: if the message is cut short, or none that ONNX could have written.
    """
    while begin < end:
        file.seek(begin)
        key = _varint(file)
        kind = key & 7
        if kind == 0:
            _varint(file)
            size = 0
        elif kind in _SIZES:
            size = _SIZES[kind]
        elif kind == _BYTES:
            size = _varint(file)
        else:
            raise ModelError("it is no message, or of a kind that ONNX does not use")
        content = file.tell()
        if content + size > end:
            raise ModelError("it is cut short")
        yield Field(key >> 3, kind == _BYTES, begin, content, content + size)
        begin = content + size


def read_bytes(file: BinaryFile, begin: int, end: int) -> bytes:
    """What lies between two places in a file."""
    file.seek(begin)
    return file.read(end - begin)


def encoded(number: int, content: bytes) -> bytes:
    """A field whose content is a run of bytes."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


def _varint(file: BinaryFile) -> int:
    """A number in groups of seven bits, the lowest first; the eighth bit says that more follow."""
    number = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise ModelError("it is cut short")


def _encoded_varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
