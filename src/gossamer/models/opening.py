"""From whatever the user gives to the adapter for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import ModelError
from gossamer.extras import needed_for
from gossamer.models.python_file import is_function, load_function
from gossamer.user_code import describe

if TYPE_CHECKING:
    import onnx

    from gossamer.models.adapter import ModelAdapter


# So many names are told; of others the number.
_TOLD = 3


def open_model(model: Any) -> ModelAdapter:
    """Return the adapter for a model. The model itself is not changed.

    Args:
        model: an `nn.Module`; an `onnx.ModelProto`; or as text or path a Hugging Face directory,
            an `.onnx` file, a `.pt2` file of `torch.export.save`, or `FILE.py:FUNCTION` that
            returns an `nn.Module`.

    Raises:
        ModelError: if it is none of these, or cannot be read.
    """
    if isinstance(model, str | Path):
        return _open_path(str(model))
    import onnx

    if isinstance(model, onnx.ModelProto):
        return _open_onnx(model)
    return _open_module(model, "the model")


def _open_path(text: str) -> ModelAdapter:
    if is_function(text):
        function = load_function(text)
        try:
            module = function()
        except Exception as error:
            raise ModelError(f"{text} fails: {describe(error)}") from error
        return _open_module(module, text)
    path = Path(text)
    if path.is_dir():
        with needed_for(f"{path}, a Hugging Face directory,", extra="transformers"):
            from gossamer.models.hugging_face import load_directory
            from gossamer.models.torch_model import TorchModel

        return TorchModel(load_directory(path), kind="hugging_face")
    if not path.exists():
        raise ModelError(
            f"{path} does not exist; give an .onnx or .pt2 file, a Hugging Face directory or "
            "FILE.py:FUNCTION"
        )
    if path.suffix == ".onnx":
        from gossamer.formats.onnx_io import load_onnx

        return _open_onnx(load_onnx(path))
    if path.suffix == ".pt2":
        from gossamer.models.exported import load_exported
        from gossamer.models.torch_model import TorchModel

        return TorchModel(load_exported(path), kind="exported")
    raise ModelError(
        f"{path} is no kind of model that can be sparsified; give an .onnx or .pt2 file, a "
        "Hugging Face directory or FILE.py:FUNCTION"
    )


def _open_onnx(model: onnx.ModelProto) -> ModelAdapter:
    from gossamer.models.onnx_functions import inlined
    from gossamer.models.onnx_model import OnnxModel

    notes = []
    if model.functions:
        names = ", ".join(repr(function.name) for function in model.functions[:_TOLD])
        more = f" and {len(model.functions) - _TOLD} more" if len(model.functions) > _TOLD else ""
        notes.append(f"The model's functions {names}{more} were replaced by their nodes.")
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
        f"{source} is a {type(model).__name__}; give an nn.Module, an ONNX model or a path"
    )
