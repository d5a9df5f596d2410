"""What a model holds: layers, weights, zeros, bytes, multiply-adds.

An ONNX graph is read without torch; a module is asked through its adapter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gossamer.errors import DataError, ModelError
from gossamer.formats import SparseFile, load
from gossamer.models import ModelAdapter, open_model
from gossamer.models.calibration import check_arrays
from gossamer.models.eligibility import eligibility
from gossamer.models.onnx_constants import count_zeros
from gossamer.models.onnx_layers import OnnxLayer, Use, find_layers
from gossamer.models.onnx_model import OnnxModel
from gossamer.models.selection import default_layers
from gossamer.models.source import graph_example, sparse_file, text_example
from gossamer.quantities import count, percent
from gossamer.runtime.onnx_file import take_apart
from gossamer.runtime.onnx_import import import_model
from gossamer.summary import Summary

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """One layer that has a weight which may be pruned.

    Attributes:
        name: of the module, or of the ONNX node that uses the weight first.
        operator: the ONNX operator, or the kind of the module.
        rows, columns: the weight as a matrix, one row an output.
        zeros: how many of its weights are exactly zero.
        multiply_adds: for the inputs named in the inspection, as if nothing were zero; None where
            they are unknown.
    """

    name: str
    operator: str
    rows: int
    columns: int
    zeros: int
    multiply_adds: int | None

    @property
    def weights(self) -> int:
        """How many weights the layer has."""
        return self.rows * self.columns


@dataclass(frozen=True, repr=False)
class Inspection(Summary):
    """A model's layers and sums.

    Attributes:
        layers: those whose weights may be pruned, in order.
        weights, zeros: over every floating-point parameter, embeddings and all.
        inputs: the shapes that multiply-adds are counted for, by input name; empty if unknown.
        notes: what `sparsify` would leave dense, and what is assumed, each a sentence.
    """

    layers: tuple[Layer, ...]
    weights: int
    zeros: int
    inputs: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()

    @property
    def prunable_weights(self) -> int:
        """How many weights the layers have together."""
        return sum(layer.weights for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Size of all weights, dense, at the four bytes of float32."""
        return 4 * self.weights

    @property
    def sparsity(self) -> float:
        """Fraction of zeros over the layers that may be pruned."""
        return sum(layer.zeros for layer in self.layers) / max(1, self.prunable_weights)

    @property
    def model_sparsity(self) -> float:
        """Fraction of zeros over the whole model."""
        return self.zeros / max(1, self.weights)

    @property
    def multiply_adds(self) -> int | None:
        """Sum over the layers; None where one of them is unknown."""
        known = [layer.multiply_adds for layer in self.layers if layer.multiply_adds is not None]
        return sum(known) if len(known) == len(self.layers) else None

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        return {
            "layers": f"{len(self.layers)} that can be pruned, with "
            f"{count(self.prunable_weights)} of the model's {count(self.weights)} weights",
            "sparsity": f"{percent(self.sparsity)} over these, {percent(self.model_sparsity)} over "
            "the whole model",
            **({"notes": " ".join(self.notes)} if self.notes else {}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "weights": self.weights,
            "zeros": self.zeros,
            "bytes": self.bytes,
            "prunable_weights": self.prunable_weights,
            "sparsity": self.sparsity,
            "model_sparsity": self.model_sparsity,
            "multiply_adds": self.multiply_adds,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "notes": list(self.notes),
            "layers": [
                {**asdict(layer), "weights": layer.weights, "bytes": 4 * layer.weights}
                for layer in self.layers
            ],
        }


def inspect(model: Any, example: Any = None) -> Inspection:
    """Inspect a model of any kind.

    Args:
        model: what `gossamer.compile` takes, or a sparse Gossamer file without a graph.
        example: inputs whose shapes multiply-adds are counted for: arrays by name (first axis:
            samples), one array, or a tuple in the order of the inputs. By default one sample with
            128 tokens or 224 x 224 pixels; a module that is not a Hugging Face text model then has
            its multiply-adds unknown.

    Raises:
        ModelError: if the model cannot be read.
        DataError: if `example` does not fit the model.
    """
    path = sparse_file(model)
    if path is not None and (stored := load(path)).description.graph is None:
        return _inspect_arrays(stored)
    return _inspect(open_model(model), example)


def inspect_graph(model: onnx.ModelProto, example: Mapping[str, Array] | None = None) -> Inspection:
    """Inspect an ONNX model, without torch and without running it; see `inspect`."""
    return _inspect(open_model(model), example)


def _inspect(adapter: ModelAdapter, given: Any) -> Inspection:
    example = None
    if given is not None:
        example = check_arrays(given, adapter.inputs(), "the example", aligned=False)
    if isinstance(adapter, OnnxModel):
        return _inspect_graph(adapter, example)
    return _inspect_module(adapter, example)


def _inspect_graph(adapter: OnnxModel, example: Mapping[str, Array] | None) -> Inspection:
    if example is None:
        try:
            example = graph_example(adapter.graph)
        except DataError:
            example = {}
    shapes = {name: tuple(array.shape) for name, array in example.items()}
    sizes = _value_shapes(adapter, shapes)
    layers = []
    for found in find_layers(adapter.graph, adapter.apart):
        work = [_work(found, use, sizes) for use in found.uses]
        known = [count for count in work if count is not None]
        layers.append(
            Layer(
                name=found.layer.name,
                operator=found.uses[0].node.op_type,
                rows=found.layer.rows,
                columns=found.layer.columns,
                zeros=count_zeros(found.weight, adapter.apart),
                multiply_adds=sum(known) if len(known) == len(work) else None,
            )
        )
    weights, zeros = adapter.count_weights()
    return Inspection(tuple(layers), weights, zeros, shapes, _notes(adapter, weights))


def _work(found: OnnxLayer, use: Use, sizes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return the multiply-adds of one use of a layer; None where a size is unknown."""
    layer, node = found.layer, use.node
    if layer.kind == "embedding":
        return 0
    if node.op_type == "ConvTranspose" or layer.kind == "recurrent":
        size = sizes.get(node.input[0])
        if size is None:
            return None
        positions = size[0] * (size[1] if layer.kind == "recurrent" else math.prod(size[2:]))
        return positions * layer.weights
    size = sizes.get(node.output[0])
    return None if size is None else math.prod(size) * layer.columns


def _notes(adapter: ModelAdapter, weights: int) -> tuple[str, ...]:
    layers = adapter.layers()
    chosen = {layer.name for layer in default_layers(layers)}
    return (*eligibility(layers, chosen, adapter.left_out(), weights), *adapter.notes())


def _inspect_module(adapter: ModelAdapter, example: Mapping[str, Array] | None) -> Inspection:
    if example is None:
        try:
            example = text_example(adapter)
        except DataError:
            example = {}
    layers = adapter.layers()
    # Reading a table's entries multiplies nothing; what other layers without gain are given is
    # not seen.
    unseen = {layer.name for layer in layers if not (layer.gain or layer.kind == "embedding")}
    positions = dict.fromkeys((layer.name for layer in layers), 0)

    def count(name: str, inputs: Tensor) -> None:
        positions[name] += inputs.shape[-2]

    if example:
        adapter.capture([example], list(positions), count)
    weights, zeros = adapter.count_weights()
    return Inspection(
        tuple(
            Layer(
                name=layer.name,
                operator=layer.kind,
                rows=layer.rows,
                columns=layer.columns,
                zeros=int((adapter.weight(layer.name) == 0).sum()),
                multiply_adds=(
                    positions[layer.name] * layer.weights
                    if example and layer.name not in unseen
                    else None
                ),
            )
            for layer in layers
        ),
        weights,
        zeros,
        {name: tuple(array.shape) for name, array in example.items()},
        _notes(adapter, weights),
    )


def _inspect_arrays(stored: SparseFile) -> Inspection:
    """Inspect a file without a graph: its matrices are all that is known of its layers."""
    arrays = {name: array for name, array in stored.arrays().items() if array.dtype.kind == "f"}
    layers = tuple(
        Layer(name, "tensor", array.shape[0], array[0].size, _zeros(array), None)
        for name, array in arrays.items()
        if array.ndim >= 2 and array.size
    )
    weights = sum(array.size for array in arrays.values())
    return Inspection(layers, weights, sum(map(_zeros, arrays.values())), {})


def _zeros(array: Array) -> int:
    return array.size - int(np.count_nonzero(array))


def _value_shapes(
    adapter: OnnxModel, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return the shape of every value that is fully known once the inputs have `shapes`."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(adapter.graph)
    open_inputs = {value.name: value for value in fixed.graph.input}
    for name, shape in shapes.items():
        declared = open_inputs[name].type.tensor_type.shape
        declared.ClearField("dim")
        for size in shape:
            declared.dim.add().dim_value = size
    parts = take_apart(fixed, {name: _stand_in(array) for name, array in adapter.apart.items()})
    for name in parts.weights.keys() - open_inputs.keys():
        # Shape inference knows a weight that is left out as an input.
        array = parts.weights[name]
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        info = onnx.helper.make_tensor_value_info(name, kind, array.shape)
        parts.model.graph.input.append(info)
    try:
        graph = import_model(parts.model, parts.weights)
    except ModelError:
        # What cannot be compiled has its layers all the same.
        return {}
    values = [value for node in graph.nodes for value in node.outputs]
    return {
        value.name: tuple(size for size in value.shape if isinstance(size, int))
        for value in values
        if value.shape is not None and all(isinstance(size, int) for size in value.shape)
    }


def _stand_in(array: Array) -> Array:
    """Return what has the shape of a weight and takes no memory; whole numbers may be sizes."""
    return array if array.dtype.kind in "iub" else np.broadcast_to(array.dtype.type(0), array.shape)
