"""The sparse file: a safetensors container that holds tensors as bit masks and nonzero values.

A model that is 90 % zeros takes about an eighth of its dense size. The file restores the arrays or
the torch state dict bit for bit (but see `encoding` on -0.0), and may carry the model's ONNX graph,
so that it is all a device needs. Nothing in it is executed or unpickled when it is read.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gossamer.errors import ModelError, OptionError, OutputError, UnsafeModelError, first_line
from gossamer.files import as_path, atomic_path, is_file, open_to_readers
from gossamer.formats import encoding
from gossamer.formats.collect import NamedArray, collect, to_torch
from gossamer.formats.description import (
    Description,
    GraphDescription,
    Malformed,
    SameTensor,
    StoredTensor,
)
from gossamer.formats.dtypes import CONTAINER_TYPES, dtype_of
from gossamer.machine import memory
from gossamer.quantities import count, percent
from gossamer.summary import Summary

if TYPE_CHECKING:
    import onnx
    import torch
    from onnx import ModelProto

Array = np.ndarray[Any, Any]
Values = Literal["fp32", "fp16"]


def save(
    model: Any,
    path: str | Path,
    *,
    values: Values = "fp32",
    graph: onnx.ModelProto | bytes | None = None,
) -> None:
    """Write a model as a sparse file, each tensor in the smaller of its two encodings.

    Args:
        model: a PyTorch module, a mapping from names to arrays or torch tensors, or an
            `onnx.ModelProto`, whose weights are then the file's tensors and whose graph is carried.
        path: where to write, by convention `*.gossamer.safetensors`. The file appears whole or not
            at all.
        values: "fp16" stores float32 and float64 elements in half precision; they are restored in
            their own type. "fp32" keeps every element as it is.
        graph: the ONNX export of `model`, carried along. A weight that equals one of the model's
            tensors, also transposed, under whatever name, is not stored again.

    Raises:
        ModelError: if the model holds something other than plain tensors, a value is beyond the
            range of fp16, or the graph is no ONNX model.
        OptionError: if `values` is unknown, or a graph is given for a model that is one.
        OutputError: if `path` cannot be written.
    """
    if not isinstance(values, str) or values not in ("fp32", "fp16"):
        raise OptionError(f'values={values!r} is unknown; choose "fp32" or "fp16"')
    writer = _Writer(values)
    if _is_onnx(model):
        if graph is not None:
            raise OptionError("an ONNX model carries its own graph; leave graph out")
        writer.add_graph(model, graph_only=False)
    else:
        for tensor in collect(model):
            writer.add(tensor)
        if graph is not None:
            writer.add_graph(_parse_graph(graph), graph_only=True)
    writer.write(path)


def load(path: str | Path) -> SparseFile:
    """Read a sparse file and check all of it.

    Raises:
        ModelError: if the file is missing, truncated, damaged or tampered with, of an unknown
            version, or not written by Gossamer.
    """
    path = as_path(path)
    if not is_file(path):
        raise ModelError(f"{path} does not exist or is no file; check the path of the sparse file")
    try:
        with safe_open(path, framework="numpy") as reader:
            description = Description.from_metadata(reader.metadata(), str(path))
            if set(reader.keys()) != description.container_keys():
                raise Malformed("its tensors are not those it describes")
            for key in description.container_keys():
                kind = reader.get_slice(key).get_dtype()
                if kind not in CONTAINER_TYPES:
                    raise Malformed(f"{key!r} is of type {kind}, which no sparse file holds")
            container = {key: reader.get_tensor(key) for key in description.container_keys()}
        return SparseFile(path, description, container)
    except Malformed as error:
        detail = str(error)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        detail = first_line(error)
    raise ModelError(
        f"{path} is not a sparse Gossamer file, or is truncated or damaged ({detail}); "
        "copy it again or save the model again"
    )


class SparseFile(Summary):
    """A sparse file that `load` has read and checked; tensors stay encoded until asked for.

    Attributes:
        path: the file that was read.
        description: names, shapes, types, encodings and nonzero counts of the tensors.
    """

    def __init__(self, path: Path, description: Description, container: dict[str, Array]) -> None:
        """Check `container` against `description`; raise `Malformed` where they differ."""
        self.path = path
        self.description = description
        self._container = container
        self._graph: onnx.ModelProto | None = None
        for tensor in description.tensors:
            if isinstance(tensor, StoredTensor):
                encoding.check(tensor, container)
        if description.graph is not None:
            from gossamer.formats import onnx_graph

            self._graph = onnx_graph.parse(_graph_bytes(description.graph, container))
            onnx_graph.check(self._graph, description.graph.bindings, self._signature)

    def summary(self) -> dict[str, str]:
        """Return what it holds, in words."""
        stored = [one for one in self.description.tensors if isinstance(one, StoredTensor)]
        elements = sum(prod(one.shape) for one in stored)
        nonzeros = sum(one.nonzeros for one in stored)
        return {
            "file": str(self.path),
            "tensors": f"{len(self.description.tensors)} with {count(elements)} numbers, "
            f"{percent(1 - nonzeros / max(1, elements))} of them zero",
            "graph": "none" if self._graph is None else "ONNX",
        }

    def arrays(self) -> dict[str, Array]:
        """Return the model's tensors as dense numpy arrays, in order; tied names share one array.

        bfloat16 and float8 tensors have the element types of `ml_dtypes`.

        Raises:
            UnsafeModelError: if they take more memory than the machine has.
        """
        self._check_memory(
            tensor.name
            for tensor in self.description.tensors
            if isinstance(tensor, StoredTensor) and not tensor.graph_only
        )
        decoded: dict[str, Array] = {}
        return {
            tensor.name: self._decode(tensor.name, decoded)
            for tensor in self.description.tensors
            if not tensor.graph_only
        }

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the model's tensors as a torch state dict, in order; tied names share one tensor.

        Raises:
            ModelError: if torch is not installed.
        """
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise ModelError(
                "a state dict needs PyTorch, which is not installed; "
                "install gossamer[torch], or use arrays()"
            ) from error
        converted: dict[int, torch.Tensor] = {}
        arrays = self.arrays()
        for array in arrays.values():
            converted.setdefault(id(array), to_torch(array))
        return {name: converted[id(array)] for name, array in arrays.items()}

    def onnx(self) -> onnx.ModelProto:
        """Return the carried ONNX model, its weights filled in as dense initializers.

        Raises:
            ModelError: if the file carries no graph.
            UnsafeModelError: if the weights take more memory than the machine has.
        """
        from gossamer.formats import onnx_graph

        graph, bindings = self._carried()
        # Tied weights are one tensor here and several in a model.
        self._check_memory(bindings.values())
        return onnx_graph.join(graph, lambda name: self._decode(bindings[name], {}), set(bindings))

    def onnx_parts(self) -> tuple[ModelProto, Iterable[tuple[str, Array]]]:
        """Return the carried ONNX model without its weights, and those by name.

        They are made one by one, anew each time that they are iterated.

        `gossamer.runtime.compile(graph, weights=weights)` takes both, and needs half the memory
        that it takes with the whole model.

        Raises:
            ModelError: if the file carries no graph.
            UnsafeModelError: if the weights take more memory than the machine has.
        """
        graph, bindings = self._carried()
        self._check_memory(set(bindings.values()))
        return graph, _CarriedWeights(self._decode, bindings)

    def _carried(self) -> tuple[ModelProto, dict[str, str]]:
        if self._graph is None or self.description.graph is None:
            raise ModelError(
                f"{self.path} carries no ONNX graph: it holds weights alone; give gossamer.save "
                "example_inputs with the model, or name the module itself here"
            )
        return self._graph, self.description.graph.bindings

    def _signature(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        tensor = self.description.by_name[name]
        if isinstance(tensor, StoredTensor):
            return dtype_of(tensor.dtype), tensor.shape
        dtype, shape = self._signature(tensor.same_as)
        return dtype, shape[::-1] if tensor.transposed else shape

    def _check_memory(self, names: Iterable[str]) -> None:
        """Refuse tensors that memory does not hold all together when they are dense."""
        total = 0
        for name in names:
            dtype, shape = self._signature(name)
            total += dtype.itemsize * prod(shape)
        if total > memory():
            raise UnsafeModelError(
                f"{self.path} holds tensors that take {total / 2**30:.3g} GiB when dense, more "
                "than this machine's memory; use a larger one"
            )

    def _decode(self, name: str, decoded: dict[str, Array]) -> Array:
        """Return tensor `name`, decoding each stored tensor once for the life of `decoded`."""
        if name not in decoded:
            tensor = self.description.by_name[name]
            if isinstance(tensor, StoredTensor):
                decoded[name] = encoding.decode(tensor, self._container)
            else:
                source = self._decode(tensor.same_as, decoded)
                decoded[name] = source.T if tensor.transposed else source
        return decoded[name]


@dataclass(frozen=True)
class _CarriedWeights:
    """The weights of a carried graph by name: who iterates them twice need not keep them."""

    decode: Callable[[str, dict[str, Array]], Array]
    bindings: Mapping[str, str]

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        decoded: dict[str, Array] = {}
        for name, stored in self.bindings.items():
            yield name, self.decode(stored, decoded)


class _Writer:
    """Collects what goes into one file, keeping each content once where that is asked for."""

    def __init__(self, values: Values) -> None:
        self._values: Values = values
        self._tensors: list[StoredTensor | SameTensor] = []
        self._graph: GraphDescription | None = None
        self._container: dict[str, Array] = {}
        self._by_memory: dict[tuple[Any, ...], str] = {}
        self._arrays: dict[str, Array] = {}

    def add(self, tensor: NamedArray) -> None:
        """Add a tensor of the model; one that is tied to an earlier one is a reference to it."""
        first = self._by_memory.setdefault(tensor.memory, tensor.name)
        if first != tensor.name and tensor.array.size:
            self._tensors.append(SameTensor(tensor.name, first))
        else:
            self._store(tensor.name, tensor.array, graph_only=False)

    def add_graph(self, model: onnx.ModelProto, *, graph_only: bool) -> None:
        """Add a graph and those of its weights that are not in the file yet."""
        from gossamer.formats import onnx_graph

        stripped, weights = onnx_graph.split(model)
        bindings = {}
        contents = {_content(array): name for name, array in self._arrays.items()}
        names = {tensor.name for tensor in self._tensors}
        for weight, array in weights.items():
            same = contents.get(_content(array))
            turned = contents.get(_content(array.T)) if array.ndim == 2 else None
            if graph_only and same is not None:
                bindings[weight] = same
                continue
            name = _unused(weight, names)
            names.add(name)
            bindings[weight] = name
            if same is not None:
                self._tensors.append(SameTensor(name, same, graph_only=graph_only))
            elif turned is not None:
                self._tensors.append(SameTensor(name, turned, True, graph_only))
            else:
                self._store(name, array, graph_only=graph_only)
                contents[_content(array)] = name
        content = np.frombuffer(stripped.SerializeToString(), np.uint8)
        self._graph = GraphDescription(content.size, zlib.crc32(content.data), bindings)
        self._container[GraphDescription.KEY] = content

    def write(self, path: str | Path) -> None:
        """Write the file."""
        metadata = Description(tuple(self._tensors), self._graph).to_metadata()
        with atomic_path(path) as temporary:
            try:
                save_file(self._container, temporary, metadata)
                open_to_readers(temporary)
            except SafetensorError as error:
                raise OutputError(
                    f"cannot write {path}: {error}; choose another place or free some space"
                ) from error

    def _store(self, name: str, array: Array, *, graph_only: bool) -> None:
        tensor, parts = encoding.encode(name, array, self._values, graph_only=graph_only)
        self._tensors.append(tensor)
        self._container.update(parts)
        self._arrays[name] = array


def _is_onnx(model: Any) -> bool:
    # A model of a type that was never imported cannot be an instance of it.
    onnx_module = sys.modules.get("onnx")
    return onnx_module is not None and isinstance(model, onnx_module.ModelProto)


def _parse_graph(graph: onnx.ModelProto | bytes) -> onnx.ModelProto:
    if not isinstance(graph, bytes):
        if not _is_onnx(graph):
            raise OptionError(
                f"graph is a {type(graph).__name__}; give an onnx.ModelProto or the content of an "
                "ONNX file"
            )
        return graph
    from gossamer.formats import onnx_graph

    try:
        return onnx_graph.parse(graph)
    except Malformed as error:
        raise ModelError(
            "graph holds bytes that are no ONNX model; give an onnx.ModelProto or the content of "
            "an ONNX file"
        ) from error


def _graph_bytes(graph: GraphDescription, container: dict[str, Array]) -> bytes:
    content = container[GraphDescription.KEY]
    if content.dtype != np.uint8 or content.shape != (graph.bytes,):
        raise Malformed("the carried graph has another size")
    if zlib.crc32(content.data) != graph.crc32:
        raise Malformed("the carried graph does not match its checksum")
    return content.tobytes()


def _content(array: Array) -> tuple[Any, ...]:
    """Identify an array by type, shape and bits; equal keys mean equal arrays."""
    digest = hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()
    return array.dtype.name, array.shape, digest


def _unused(name: str, names: set[str]) -> str:
    while name in names:
        name = f"graph:{name}"
    return name
