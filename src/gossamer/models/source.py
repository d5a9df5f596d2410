"""From whatever names a model to the ONNX model that runs, and to inputs that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gossamer.errors import DataError, OptionError
from gossamer.files import temporary_folder
from gossamer.formats import load_onnx
from gossamer.models.calibration import (
    check_arrays,
    first_batch,
    left_out,
    read_batches,
    samples_in,
)
from gossamer.models.hugging_face import is_transformers_model
from gossamer.models.made import Made
from gossamer.models.opening import open_model, read_onnx
from gossamer.models.places import find_place

if TYPE_CHECKING:
    from gossamer.models.adapter import AxisNames, Batch, ModelAdapter

Array = NDArray[Any]

# What an open dimension is taken to be where no example says otherwise: one sample, and behind the
# sample a sequence of 128 tokens, or images of the usual 224 by 224 pixels.
_OPEN_SEQUENCE = 128
_OPEN_PIXELS = 224
_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def sparse_file(model: Any) -> Path | None:
    """Return the sparse Gossamer file that `model` names, itself or by its folder; else None."""
    return _file(model, "sparse")


def onnx_file(model: Any) -> Path | None:
    """Return the ONNX file that `model` names, itself or by its folder; else None."""
    return _file(model, "onnx")


def _file(model: Any, kind: str) -> Path | None:
    if not isinstance(model, str | Path):
        return None
    place = find_place(model)
    return place.path if place.kind == kind else None


def as_onnx(
    model: Any, example: Any = None, dynamic_axes: AxisNames | None = None
) -> onnx.ModelProto:
    """Return `model` as ONNX, exporting it where need be.

    Args:
        model: anything that `gossamer.compile` takes.
        example: inputs to trace a module with: arrays or tensors by name, one array, or a tuple
            in the order of the arguments. A Hugging Face text model needs none, nor does the result
            of a verb that saw data.
        dynamic_axes: the axes that are open in the export, and no others, by input, number and
            name; None for those that turn out to be.

    Raises:
        OptionError: if `dynamic_axes` names an axis that cannot be open, or the model is ONNX.
        ModelError: if the model cannot be read or exported.
        DataError: if it must be traced and `example` is missing.
    """
    return named(model, example, dynamic_axes)[0]


def named(
    model: Any, example: Any = None, dynamic_axes: AxisNames | None = None
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return `model` as ONNX, as `as_onnx` does, and the layers that its nodes are of, by name.

    So that a module's layers are called alike wherever they are told of: as the module calls them.
    Nodes of no prunable layer, and all nodes of what is ONNX already, are not among them.
    """
    found = read_onnx(model)
    if found is not None:
        refuse_axes(dynamic_axes)
        return found, {}
    if example is None and isinstance(model, Made):
        example = model.example
    adapter = open_model(model)
    graph = export(adapter, example, dynamic_axes)
    layers = {layer.name for layer in adapter.layers()}
    modules = {node.name: _module_of(node.name) for node in graph.graph.node}
    return graph, {name: module for name, module in modules.items() if module in layers}


def _module_of(node: str) -> str:
    """Return the name of the module that a node of an exported graph is part of.

    "/model/encoder/layer.0/output/MatMul" is of "encoder.layer.0.output": the first part is what
    the module was traced in. A list that is called itself stands twice: "/model/model.0/Gemm".
    """
    parts: list[str] = []
    for part in node.split("/")[1:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts).partition(".")[2]


def refuse_axes(dynamic_axes: AxisNames | None) -> None:
    """Refuse to open axes of a model that is ONNX already.

    Raises:
        OptionError: if some are stated.
    """
    if dynamic_axes is not None:
        raise OptionError(
            "dynamic_axes= is for models that are exported; the axes of an ONNX model are open or "
            "fixed as its file says: leave it out"
        )


def export(
    adapter: ModelAdapter, example: Any = None, dynamic_axes: AxisNames | None = None
) -> onnx.ModelProto:
    """Return the ONNX export of an adapter's model; see `as_onnx`."""
    if adapter.kind == "onnx":
        assert isinstance(adapter.model, onnx.ModelProto)
        return adapter.model
    if example is None:
        example = text_example(adapter)
    else:
        example = first_batch(example)
        example = check_arrays(example, adapter.inputs(), "the example", aligned=False)
    with temporary_folder() as folder:
        path = folder / "model.onnx"
        adapter.export_onnx(path, example, dynamic_axes)
        return load_onnx(path)


def text_example(adapter: ModelAdapter) -> dict[str, Array]:
    """Make one text of 128 tokens, or as many as it takes, for a transformers text model.

    Raises:
        DataError: if the model takes something else.
    """
    required = {value.name for value in adapter.inputs() if value.required}
    known = {value.name for value in adapter.inputs()} & {"input_ids", "attention_mask"}
    if not is_transformers_model(adapter.model) or "input_ids" not in known or required - known:
        raise DataError(
            "a model that is not ONNX yet is traced with inputs of yours; give example inputs "
            "(on the command line, --inputs or --calibration DATA)"
        )
    positions = getattr(adapter.model.config, "max_position_embeddings", None)
    length = _OPEN_SEQUENCE
    if isinstance(positions, int) and positions > 2:
        # Some count positions from two on.
        length = min(length, positions - 2)
    return {name: np.ones((1, length), np.int64) for name in _TOKEN_INPUTS if name in known}


def one_inference(
    model: onnx.ModelProto, example: Any = None, notes: list[str] | None = None
) -> Batch:
    """Return what one inference of an ONNX model takes: `example`, checked, or made-up inputs.

    Of a DataLoader and the like it is the first batch, without labels, which `notes` is told.
    """
    if example is None:
        return graph_example(model)
    beside: dict[str, None] = {}
    taken = open_model(model).inputs()
    inputs = check_arrays(first_batch(example), taken, "the example", beside=beside)
    if notes is not None:
        notes += left_out(beside, "inputs")
    return inputs


def first_samples(model: Any, data: Any, count: int) -> Batch:
    """Return the first `count` samples of what a user gave for DATA.

    Args:
        model: anything that `gossamer.compile` takes.
        data: whatever `gossamer.models.calibration.read_batches` takes.
        count: of samples.

    Raises:
        DataError: if the data does not fit the model, or the first batches hold too few samples.
    """
    found: list[Batch] = []
    missing = count
    inputs = open_model(model).inputs()
    for batch in read_batches(data, inputs, what="data", one="batch"):
        if samples_in(batch) == 1:
            found.append(batch)
        else:
            found.append({name: array[:missing] for name, array in batch.items()})
        missing -= samples_in(found[-1])
        if not missing:
            break
    else:
        raise DataError(f"the data holds {count - missing} samples; {count} are asked for")
    try:
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    except (KeyError, ValueError) as error:
        raise DataError(
            f"the first {count} samples differ in shape and make no batch; ask for fewer"
        ) from error


def graph_example(model: onnx.ModelProto) -> dict[str, Array]:
    """Make inputs that fit an ONNX model: one sample, 128 tokens, images of 224 x 224 pixels.

    Integers are ones (a token, an attention mask), and floats standard normal from a fixed seed:
    they exercise the model for timing, and mean nothing.

    Raises:
        DataError: if an input's rank or element type leaves open what to make.
    """
    random = np.random.default_rng(0)
    given = {tensor.name for tensor in model.graph.initializer}
    made: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name in given:
            continue
        tensor = value.type.tensor_type
        try:
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        except KeyError:
            dtype = np.dtype(object)
        if not tensor.HasField("shape") or dtype.kind not in "fiub":
            raise DataError(
                f"cannot make up input {value.name!r} of the model; give example inputs"
            )
        dims = tensor.shape.dim
        shape = tuple(
            dim.dim_value if dim.dim_value > 0 else _open_size(axis, len(dims))
            for axis, dim in enumerate(dims)
        )
        drawn = random.standard_normal(shape) if dtype.kind == "f" else np.ones(shape)
        made[value.name] = drawn.astype(dtype)
    return made


def _open_size(axis: int, rank: int) -> int:
    if axis == 0:
        return 1
    return _OPEN_PIXELS if rank == 4 else _OPEN_SEQUENCE
