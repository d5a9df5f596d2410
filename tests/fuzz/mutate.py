"""Changes to files that keep their outer form, so that what lies deeper is reached as well."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from typing import Any

import onnx
from google.protobuf.message import Message

NUMBERS = [0, 1, -1, 2, 3, 7, 8, 255, 65536, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1]
WORDS = [
    "",
    "x",
    "w",
    "y",
    "Add",
    "Constant",
    "Identity",
    "Reshape",
    "float32",
    "sparse",
    "\0",
    "é",
]


def message(data: bytes, chance: random.Random) -> bytes | None:
    """An ONNX model with some fields changed, None where the bytes are none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            found = list(_messages(model))
            _change(chance.choice(found), found, chance)
        return bytes(model.SerializeToString())
    except Exception:
        return None


def _messages(message: Message) -> Any:
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for inner in value if _repeated(descriptor) else [value]:
            yield from _messages(inner)


def _repeated(descriptor: Any) -> bool:
    return bool(descriptor.is_repeated)


def _change(message: Any, found: list[Any], chance: random.Random) -> None:
    """Change one field; `found` are all messages of the model, to take parts and words from."""
    descriptor = chance.choice(message.DESCRIPTOR.fields)
    name = descriptor.name
    if _repeated(descriptor):
        _change_list(getattr(message, name), descriptor, found, chance)
    elif descriptor.message_type is not None:
        if chance.random() < 0.5:
            message.ClearField(name)
        else:
            getattr(message, name).MergeFrom(_like(descriptor, found, chance))
    elif chance.random() < 0.2:
        message.ClearField(name)
    else:
        try:
            setattr(message, name, _scalar(descriptor, getattr(message, name), found, chance))
        except (TypeError, ValueError):
            return


def _like(descriptor: Any, found: list[Any], chance: random.Random) -> Any:
    """A message of a field's kind: another one of the model, or an empty one."""
    made = descriptor.message_type._concrete_class()
    others = [other for other in found if other.DESCRIPTOR is descriptor.message_type]
    if others and chance.random() < 0.7:
        made.CopyFrom(chance.choice(others))
    return made


def _change_list(items: Any, descriptor: Any, found: list[Any], chance: random.Random) -> None:
    deed = chance.choice(("drop", "twice", "swap", "add", "set"))
    if deed == "add" or not len(items):
        if descriptor.message_type is not None:
            items.add().CopyFrom(_like(descriptor, found, chance))
        else:
            _set(items, None, _scalar(descriptor, None, found, chance))
        return
    place = chance.randrange(len(items))
    if deed == "drop":
        del items[place]
    elif deed == "twice":
        copy = items[place]
        if descriptor.message_type is not None:
            items.add().CopyFrom(copy)
        else:
            items.append(copy)
    elif descriptor.message_type is not None:
        items[place].CopyFrom(
            items[chance.randrange(len(items))]
            if deed == "swap"
            else _like(descriptor, found, chance)
        )
    elif deed == "swap":
        other = chance.randrange(len(items))
        items[place], items[other] = items[other], items[place]
    else:
        _set(items, place, _scalar(descriptor, items[place], found, chance))


def _set(items: Any, place: int | None, value: Any) -> None:
    try:
        if place is None:
            items.append(value)
        else:
            items[place] = value
    except (TypeError, ValueError):
        return


def _scalar(descriptor: Any, before: Any, found: list[Any], chance: random.Random) -> Any:
    kind = descriptor.cpp_type
    if kind == descriptor.CPPTYPE_STRING:
        if descriptor.type == descriptor.TYPE_BYTES:
            old = bytes(before or b"")
            cut = chance.randrange(len(old) + 1)
            return chance.choice((old[:cut], old + b"\xff" * 3, bytes(chance.randrange(5))))
        return _word(found, chance)
    if kind in (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE):
        return chance.choice((0.0, 1.0, -1.0, float("nan"), float("inf"), 1e30))
    if kind == descriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    number = chance.choice(NUMBERS) if chance.random() < 0.6 else chance.randrange(-3, 30)
    if before is not None and chance.random() < 0.3:
        number = int(before) + chance.choice((-1, 1))
    return number


def _word(found: list[Any], chance: random.Random) -> Any:
    """A word that the model holds somewhere, or any."""
    if chance.random() < 0.6:
        other = chance.choice(found)
        held = [
            value
            for descriptor, value in other.ListFields()
            if descriptor.cpp_type == descriptor.CPPTYPE_STRING
        ]
        words = [
            word
            for value in held
            for word in ([value] if isinstance(value, (str, bytes)) else value)
        ]
        if words:
            return chance.choice(words)
    return chance.choice(WORDS)


def container(data: bytes, chance: random.Random) -> bytes | None:
    """A sparse file with its description or graph changed, mostly with right lengths and checksums.

    None where the bytes are none, or so broken that nothing can be put right.
    """
    try:
        return _container(data, chance)
    except (KeyError, TypeError, ValueError, AttributeError, struct.error):
        return None


def _container(data: bytes, chance: random.Random) -> bytes | None:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    (key,) = [k for k in metadata if metadata[k].lstrip().startswith("{")]
    described = json.loads(metadata[key])
    body = bytearray(data[8 + length :])
    deed = chance.random()
    if deed < 0.45:
        described = tree(described, chance)
    elif deed < 0.6:
        outer = dict(header)
        outer.pop("__metadata__")
        changed = tree(outer, chance)
        if not isinstance(changed, dict):
            return None
        header = {**changed, "__metadata__": metadata}
    elif deed < 0.8 and "graph:onnx" in header:
        begin, end = header["graph:onnx"]["data_offsets"]
        graph = message(bytes(body[begin:end]), chance)
        if graph is None:
            return None
        body = _replace(header, body, graph)
        described["graph"]["bytes"] = len(graph)
    elif body:
        place = chance.randrange(len(body))
        body[place] = chance.randrange(256)
    if chance.random() < 0.7:
        _correct(header, described, body)
    text = json.dumps(described, separators=(",", ":"))
    for name in metadata:
        metadata[name] = text if name == key else f"{zlib.crc32(text.encode()):08x}"
    if chance.random() < 0.05:
        metadata.pop(chance.choice(list(metadata)))
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + bytes(body)


def _replace(header: Any, body: bytearray, graph: bytes) -> bytearray:
    """The bytes of a file with another graph, what lies behind it moved."""
    entry = header["graph:onnx"]
    begin, end = entry["data_offsets"]
    moved = len(graph) - (end - begin)
    for other in header.values():
        offsets = other.get("data_offsets")
        if offsets is not None and offsets[0] >= end and other is not entry:
            other["data_offsets"] = [offset + moved for offset in offsets]
    entry["data_offsets"], entry["shape"] = [begin, begin + len(graph)], [len(graph)]
    return bytearray(body[:begin] + graph + body[end:])


def _correct(header: Any, described: Any, body: bytes) -> None:
    """Checksums of what is there now, so that checks behind them are reached."""
    try:
        for tensor in described["tensors"]:
            if "same_as" in tensor:
                continue
            prefixes = ("mask", "values") if tensor["encoding"] == "sparse" else ("dense",)
            checksum = 0
            for prefix in prefixes:
                begin, end = header[f"{prefix}:{tensor['name']}"]["data_offsets"]
                checksum = zlib.crc32(body[begin:end], checksum)
            tensor["crc32"] = checksum
        graph = described.get("graph")
        if graph:
            begin, end = header["graph:onnx"]["data_offsets"]
            graph["crc32"] = zlib.crc32(body[begin:end])
    except (KeyError, TypeError, ValueError, AttributeError):
        return


def tree(value: Any, chance: random.Random) -> Any:
    """A copy of a tree of dictionaries and lists with one place changed."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        deed = chance.random()
        if deed < 0.12:
            return {k: v for k, v in value.items() if k != key}
        if deed < 0.2:
            return {**value, str(key) + chance.choice(("2", "_dbm", "")): value[key]}
        return {**value, key: tree(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        deed = chance.random()
        if deed < 0.15:
            return value[:place] + value[place + 1 :]
        if deed < 0.3:
            return [*value, value[place]]
        return [*value[:place], tree(value[place], chance), *value[place + 1 :]]
    return _leaf(value, chance)


def _leaf(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool) or value is None or chance.random() < 0.15:
        choices: list[Any] = [None, True, [], {}, "x", -1, 1.5, [[1, 2]], float("inf"), 0]
        return chance.choice(choices)
    if isinstance(value, (int, float)):
        return chance.choice([value + 1, value - 1, -value, *NUMBERS, 0.5, 1e300])
    if isinstance(value, str):
        return chance.choice(
            ["float16", "float64", "bfloat16", "int8", "dense", *WORDS, value + "2"]
        )
    return chance.choice([None, 1, "x", [], {}])


def document(data: bytes, chance: random.Random) -> bytes | None:
    """A YAML file with one place changed."""
    import yaml

    try:
        read = yaml.safe_load(data)
    except Exception:
        return None
    if not isinstance(read, dict):
        return None
    out = io.StringIO()
    yaml.safe_dump(tree(read, chance), out, allow_unicode=True)
    return out.getvalue().encode("utf-8", "replace")
