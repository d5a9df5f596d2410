"""From whatever the user gives to the adapter for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import ModelError
from gossamer.extras import needed_for
from gossamer.files import is_file
from gossamer.formats.sparse_file import load
from gossamer.models.made import Made
from gossamer.models.places import FORMS, find_place
from gossamer.models.python_file import load_function
from gossamer.quantities import listed
from gossamer.user_code import describe

if TYPE_CHECKING:
    import onnx

    from gossamer.models.adapter import ModelAdapter


def open_model(model: Any, *, trainable: bool = False) -> ModelAdapter:
    """Return the adapter for a model of any form. The model itself is not changed.

    Args:
        model: an `nn.Module`; an `onnx.ModelProto` or the bytes of one; what `sparsify` or
            `recover` returned; or as text or path an `.onnx` file, a sparse Gossamer file that
            carries its graph, a folder that Gossamer wrote, a Hugging Face directory, a `.pt2` file
            of `torch.export.save`, or `FILE.py:FUNCTION` that returns an `nn.Module`.
        trainable: opens a folder that holds the model in several forms as a module, not as the
            graph that runs; see `gossamer.models.places.find_place`.

    Raises:
        ModelError: if it is none of these, or cannot be read.
    """
    if isinstance(model, Made):
        model = model.model
    graph = read_onnx(model, trainable=trainable)
    if graph is not None:
        return _open_onnx(graph)
    if not isinstance(model, str | Path):
        return _open_module(model, "the model")
    place = find_place(model, trainable=trainable)
    if place.kind == "function":
        function = load_function(str(model))
        try:
            module = function()
        except (Exception, SystemExit) as error:
            raise ModelError(f"{model} fails: {describe(error)}") from error
        return _open_module(module, str(model))
    if place.kind == "hugging_face":
        with needed_for(f"{place.path}, a Hugging Face directory,", extra="transformers"):
            from gossamer.models.hugging_face import load_directory
            from gossamer.models.torch_model import TorchModel

        return TorchModel(load_directory(place.path), kind="hugging_face")
    if not is_file(place.path):
        raise ModelError(f"{place.path} does not exist; give {FORMS}")
    from gossamer.models.exported import load_exported
    from gossamer.models.torch_model import TorchModel

    return TorchModel(load_exported(place.path), kind="exported")


def read_onnx(model: Any, *, trainable: bool = False) -> onnx.ModelProto | None:
    """Return the ONNX model that `model` is or holds; None for what must be exported first.

    No torch is needed for it.

    Args:
        model: what `open_model` takes.
        trainable: as there.

    Raises:
        ModelError: if the file is missing or broken, or the sparse file carries no graph.
    """
    if isinstance(model, Made):
        model = model.model
    if isinstance(model, str | Path):
        place = find_place(model, trainable=trainable)
        if place.kind == "sparse":
            return load(place.path).onnx()
        if place.kind != "onnx":
            return None
        from gossamer.formats.onnx_io import load_onnx

        return load_onnx(place.path)
    if isinstance(model, bytes):
        from gossamer.formats.onnx_io import parse_onnx

        return parse_onnx(model, "the model's bytes")
    import onnx

    return model if isinstance(model, onnx.ModelProto) else None


def _open_onnx(model: onnx.ModelProto) -> ModelAdapter:
    from gossamer.models.onnx_functions import inlined
    from gossamer.models.onnx_model import OnnxModel

    notes = []
    if model.functions:
        names = listed(function.name for function in model.functions)
        notes.append(f"The model's functions {names} were replaced by their nodes.")
    return OnnxModel(inlined(model), notes=notes)


def _open_module(model: Any, source: str) -> ModelAdapter:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "sparsifying needs torch; install it with: pip install 'gossamer[torch]'"
        ) from error
    if isinstance(model, torch.nn.Module):
        from gossamer.models.torch_forms import opened
        from gossamer.models.torch_model import TorchModel

        module, notes = opened(model)
        return TorchModel(module, notes=notes)
    raise ModelError(
        f"{source} is a {type(model).__name__}; give an nn.Module, an ONNX model (or its bytes) or "
        "the path of one"
    )
