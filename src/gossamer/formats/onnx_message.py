"""Models beyond 2 GiB, which protocol buffers can hold but neither copy nor write.

Messages are copied by writing and reading them, so one that is larger is copied in parts: all but
the bytes of its tensors, then these.
"""

from __future__ import annotations

from math import prod
from typing import Any

from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto, helper

from gossamer.errors import ModelError

# Bytes of a message that can be written, and of all but the initializers in one near that size.
_LARGEST = 2**31 - 1
_REST = 64 << 20


def copy_model(model: ModelProto) -> ModelProto:
    """Return an independent copy of a model of any size."""
    copy = without_elements(model)
    for tensor, own in zip(model.graph.initializer, copy.graph.initializer, strict=True):
        if tensor.HasField("raw_data") and not own.HasField("raw_data"):
            own.raw_data = tensor.raw_data
    return copy


def is_large(model: ModelProto) -> bool:
    """Return whether a model is, or may be, too large to be written as one message."""
    # What is not in initializers is little; a tensor in numbers of its own takes a few bytes more.
    size = sum(_size(tensor) for tensor in model.graph.initializer)
    return size > _LARGEST - _REST


def without_elements(model: ModelProto, *, keep: int = 0) -> ModelProto:
    """Return a copy of a model whose initializers lack the elements that they hold in raw bytes.

    Args:
        model: it is left as it is.
        keep: bytes that an initializer must hold to lose them.

    Raises:
        ModelError: if a word in it is no text.
    """
    copy = ModelProto()
    _merge(copy, model, but="graph")
    copy.graph.SetInParent()
    _merge(copy.graph, model.graph, but="initializer")
    for tensor in model.graph.initializer:
        own = copy.graph.initializer.add()
        _merge(own, tensor, but="raw_data")
        if tensor.HasField("raw_data") and _size(tensor) < keep:
            own.raw_data = tensor.raw_data
    return copy


def _size(tensor: TensorProto) -> int:
    """Return how many bytes a tensor takes, by its shape; to look at its bytes is to copy them."""
    try:
        itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        # Of no known type: it is refused when it is read.
        return 0
    return int(prod(tensor.dims) * itemsize)


def _merge(target: Any, source: Any, *, but: str) -> None:
    """Copy a message but for one field, which is not touched."""
    for name in source.DESCRIPTOR.fields_by_name:
        if name == but:
            continue
        value = getattr(source, name)
        repeated = hasattr(value, "MergeFrom") and not isinstance(value, Message)
        if not repeated and not source.HasField(name):
            continue
        if hasattr(value, "MergeFrom"):
            getattr(target, name).MergeFrom(value)
        else:
            try:
                setattr(target, name, value)
            except UnicodeDecodeError:
                # Read from a file, such a word is bytes, and cannot be written.
                raise ModelError(
                    f"the model's {name} {value!r} is no UTF-8; export it with another"
                ) from None
