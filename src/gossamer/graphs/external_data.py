"""What an ONNX model keeps in other files: found, and read, within the model's own folder.

As in ONNX Runtime the folder is the one that the path names or, where the model's file is a link,
the one that this leads to: so the caches of model hubs are laid out. Links that stay inside are
followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from gossamer.errors import ModelError, first_line
from gossamer.graphs.nodes import graphs, nodes

# Elements that lie together in a byte, of types of which several do.
_IN_A_BYTE = {"INT4": 2, "UINT4": 2, "FLOAT4E2M1": 2, "INT2": 4, "UINT2": 4}
# Characters of a name that an error shows.
_SHOWN = 80


class MissingData(ModelError):
    """What a model keeps in another file, and is not there or not to be read from there."""


@dataclass(frozen=True)
class Extent:
    """A piece of a file."""

    path: Path
    offset: int
    """Bytes before it."""
    size: int
    """Bytes that it has."""


def locate(tensor: TensorProto, model_path: str | Path) -> Extent:
    """Where a tensor's elements lie.

    Raises:
        MissingData: if that is no place in a file within the model's folder.
    """
    model_path = Path(model_path)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    kept = f"{model_path} keeps tensor {tensor.name!r}"
    if not isinstance(location, str) or "\0" in location:
        raise MissingData(f"{kept} in a file of an impossible name, {location!r}; export it again")
    try:
        path = (model_path.parent / location).resolve()
        is_file = path.is_file()
    except (OSError, RuntimeError) as error:
        # A name longer than any file's, or a link that leads to itself.
        why = first_line(error)[:_SHOWN]
        raise MissingData(
            f"{kept} in {location[:_SHOWN]!r}, which cannot be found ({why}); "
            "copy that file beside the model or export it again"
        ) from None
    folders = {model_path.parent.resolve(), model_path.resolve().parent}
    is_inside = any(path.is_relative_to(folder) for folder in folders)
    if not location or Path(location).is_absolute() or not is_inside:
        raise MissingData(
            f"{kept} outside its folder, at {location!r}; "
            "move the data beside the model and export it again"
        )
    if not is_file:
        raise MissingData(
            f"{kept} in {location!r}, which is missing; copy that file beside the model"
        )
    try:
        offset = int(entries.get("offset", 0))
        rest = path.stat().st_size - offset
        # ONNX Runtime takes 0 for a length that is not said.
        size = int(entries.get("length", 0)) or _size(tensor, rest)
    except ValueError:
        raise MissingData(f"{kept} at a place that is no number; export it again") from None
    if offset < 0 or not 0 <= size <= rest:
        raise MissingData(
            f"{kept} in {location!r}, which does not hold it ({size} bytes from {offset} on); "
            "copy that file again"
        )
    return Extent(path, offset, size)


def _size(tensor: TensorProto, rest: int) -> int:
    """Bytes that the elements of a tensor's type and shape take; `rest` where these are none."""
    try:
        itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        return rest
    in_a_byte = _IN_A_BYTE.get(TensorProto.DataType.Name(tensor.data_type), 1)
    return int(-(-math.prod(tensor.dims) * itemsize // in_a_byte))


def load(tensor: TensorProto, model_path: str | Path) -> None:
    """Put a tensor's elements into the message, as if they had never been elsewhere.

    Raises:
        MissingData: if they cannot be read.
    """
    extent = locate(tensor, model_path)
    try:
        with extent.path.open("rb") as file:
            file.seek(extent.offset)
            tensor.raw_data = file.read(extent.size)
    except (OSError, ValueError) as error:
        raise MissingData(
            f"{model_path} keeps tensor {tensor.name!r} in {extent.path.name!r}, which cannot be "
            f"read ({error}); copy that file again"
        ) from error
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's elements lie in another file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor in `model`, those in attributes and subgraphs included."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
