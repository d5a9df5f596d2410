"""Hugging Face directories: what of one belongs to a model, and writing one anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import ModelError
from gossamer.files import open_to_readers
from gossamer.formats.json_text import read_json
from gossamer.formats.result_file import RESULT_FILE
from gossamer.models.hugging_face import is_transformers_model, without_progress_bar
from gossamer.models.made import Made
from gossamer.quantities import listed
from gossamer.user_code import describe

if TYPE_CHECKING:
    import torch

# What says how to use a model: configuration, tokenizer, templates.
_KEPT_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".spm", ".tiktoken"}


def source_of(model: Any) -> Path | None:
    """Return the Hugging Face directory that a model comes from; None if there is none here.

    Args:
        model: whatever names a model. A transformers module knows from where it was loaded; a
            model of the hub is looked for in the cache, and nothing is downloaded.
    """
    if isinstance(model, Made):
        return model.source
    if isinstance(model, str | Path):
        path = Path(model)
    elif is_transformers_model(model):
        name = str(getattr(model.config, "_name_or_path", "") or "")
        path = Path(name)
        if name and not path.is_dir():
            path = _cached(name) or path
    else:
        return None
    return path.absolute() if (path / "config.json").is_file() else None


def _cached(name: str) -> Path | None:
    """Return the directory of a model of the hub in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def copy_configuration(source: Path, folder: Path) -> None:
    """Copy what a Hugging Face directory holds beside its weights into a folder.

    The layers that sentence-transformers puts behind the model are among it, weights and all.
    """
    behind = _layers_behind(source)
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        # An index lists the weight files of a model in several parts, which are not copied; a
        # result is of the model that lay there.
        other = path.name.endswith(".index.json") or path.name == RESULT_FILE
        kept = path.suffix in _KEPT_SUFFIXES
        if relative.parent.as_posix() in behind:
            kept |= path.suffix == ".safetensors"
        if path.is_file() and kept and not hidden and not other:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)


def _layers_behind(source: Path) -> set[str]:
    """Return the folders of what sentence-transformers runs behind the model."""
    try:
        modules = read_json(source / "modules.json")
        return {str(module["path"]) for module in modules} - {"", "."}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def write_pretrained(model: torch.nn.Module, folder: Path, source: Path | None) -> list[str]:
    """Write a module of transformers so that `from_pretrained` loads it, zeros and all.

    The files are config.json and weights in safetensors, in the module's own precision, tied ones
    once; beside them what `source` holds: tokenizer, templates, and the like. What was written is
    loaded again, to see whether it is the same.

    Args:
        model: left as it is.
        folder: an existing folder, best a temporary one.
        source: the directory that the model comes from, or None.

    Returns:
        What `from_pretrained` does not restore, and what is missing, each a sentence.

    Raises:
        ModelError: if the module is none of transformers, carries adapters, or cannot be written.
    """
    check_pretrained(model)
    if source is not None:
        copy_configuration(source, folder)
    import transformers

    with _quiet(transformers.utils.logging):
        try:
            model.save_pretrained(str(folder))  # type: ignore[operator]
            for weights in folder.glob("*.safetensors"):
                open_to_readers(weights)
        except OSError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model cannot be written by transformers: {describe(error)}"
            ) from error
        return [*_differences(model, folder), *_left_behind(model, source)]


def check_pretrained(model: Any) -> None:
    """Check that a model can be written as a Hugging Face directory.

    Raises:
        ModelError: if it is none of transformers, or carries adapters.
    """
    from gossamer.models.torch_forms import adapters

    if is_transformers_model(model) and adapters(model):
        raise ModelError(
            "the model carries adapters, of which from_pretrained would load nothing else; merge "
            "them first (merge_and_unload)"
        )
    if not is_transformers_model(model) or not hasattr(model, "save_pretrained"):
        raise ModelError(
            f"a {type(model).__name__} is no module of transformers, which alone a Hugging Face "
            "directory holds; write it as onnx or sparse"
        )


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Keep transformers from telling what notes tell."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_progress_bar(logging):
            yield
    finally:
        logging.set_verbosity(before)


def _differences(model: Any, folder: Path) -> Iterator[str]:
    """Yield in what the model that `from_pretrained` loads differs from the one written."""
    import torch

    kind = type(model)
    try:
        loaded = kind.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        yield (
            f"Plain from_pretrained does not load it ({describe(error)}): load model.safetensors "
            "into the module that you have."
        )
        return
    ours, theirs = model.state_dict(), loaded.state_dict()
    lost = [
        name
        for name, tensor in ours.items()
        if name not in theirs or not torch.equal(theirs[name].to(tensor.dtype), tensor.cpu())
    ]
    made_up = [name for name in theirs if name not in ours]
    if lost:
        yield (
            f"Plain from_pretrained does not restore {listed(lost)}: a {kind.__name__} of this "
            "configuration has them otherwise or not at all. Load model.safetensors into the "
            "module that you have."
        )
    if made_up:
        yield (
            f"Plain from_pretrained makes up {listed(made_up)}, which the model no longer has: "
            "weights that were computed are parameters now. Load model.safetensors into the module "
            "that you have."
        )


def _left_behind(model: Any, source: Path | None) -> Iterator[str]:
    """Yield what the source holds and what was written does not, or the other way round."""
    import transformers

    name = type(model).__name__
    if getattr(transformers, name, None) is not type(model):
        yield f"transformers has no {name}: load it with {name}.from_pretrained of your own code."
    if source is None:
        yield (
            "No tokenizer or processor was found with the model: save yours in the same directory "
            "(save_pretrained)."
        )
        return
    settings = read_json(source / "config.json")
    architecture = (settings.get("architectures") or [name])[0]
    if architecture != name:
        yield f"The head of {architecture} is not in it: what was written is the {name} within."
