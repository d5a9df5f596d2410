"""Reading `.pt2` files of `torch.export.save`.

`torch.export.load` unpickles whatever the archive declares as pickled, evaluates symbolic
expressions and loads compiled libraries. So the archive is looked through first, and one that holds
more than plain tensors and a graph is refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.errors import ModelError
from gossamer.user_code import describe

if TYPE_CHECKING:
    import torch

# Members of an archive without pickled objects or compiled code, after the archive's own folder.
_PLAIN_MEMBERS = re.compile(
    r"data/(weights/(weight_\d+|\w+_weights_config\.json)"
    r"|constants/(tensor_\d+|\w+_constants_config\.json)"
    r"|sample_inputs/\w+\.pt)"
    r"|models/\w+\.json|archive_format|archive_version|byteorder|version|\.data/\w+|extra/.*"
)
# Sizes such as "2*s0 + 1" or "Mul(Integer(2), Symbol('s0', integer=True))": no attribute, no text
# but a symbol's name, no function of Python's own.
_PLAIN_EXPRESSION = re.compile(
    r"([su]\d+|'[a-z]+\d+'|[A-Z][A-Za-z]*|[a-z]+=(?=True|False)|\d+|[-+*/%(),<>=&|~\s])*"
)


def load_exported(path: Path) -> torch.nn.Module:
    """Return the module of a file that `torch.export.save` wrote.

    Raises:
        ModelError: if the file is no such archive, or holds pickled objects or compiled code.
    """
    import torch

    data = path.read_bytes()
    try:
        _refuse_unsafe(path, data)
        # From the bytes that were checked: the file may change meanwhile.
        program = torch.export.load(io.BytesIO(data))
        module: torch.nn.Module = program.module()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} is not a model saved by torch.export.save ({describe(error)}); save it anew"
        ) from error
    return module


def _refuse_unsafe(path: Path, data: bytes) -> None:
    import torch

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.namelist():
            name = member.partition("/")[2]
            if not _PLAIN_MEMBERS.fullmatch(name):
                raise ModelError(
                    f"{path} holds {member!r}, which may run code when loaded; save the model with "
                    "a current torch.export.save, without custom objects or compiled code"
                )
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(member))["config"].values()
                if any(entry.get("use_pickle") for entry in entries):
                    raise ModelError(
                        f"{path} holds pickled tensors in {member!r}, which are not loaded; save "
                        "the model with plain tensors only"
                    )
            elif name.startswith("models/"):
                for expression in _expressions(json.loads(archive.read(member))):
                    if not _PLAIN_EXPRESSION.fullmatch(expression):
                        raise ModelError(
                            f"{path} holds the expression {expression[:40]!r}, which is not "
                            "evaluated; export the model with plain dynamic shapes"
                        )
            elif name.startswith("data/sample_inputs/"):
                try:
                    torch.load(io.BytesIO(archive.read(member)), weights_only=True)
                except Exception as error:
                    raise ModelError(
                        f"{path} holds example inputs that are more than tensors, which are not "
                        "loaded; export the model with plain tensors as inputs"
                    ) from error


def _expressions(node: Any) -> Iterator[str]:
    """Yield every symbolic expression in a serialised graph."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr_str" and isinstance(value, str):
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _expressions(value)
