"""Imports run one way through the rooms of the house, as the line in docs/internals says.

The line is read from the page itself, so that the map cannot lie. A room imports what stands before
it, by `<`; rooms joined by a bar do not import each other, those joined by a comma may. Imports
within functions, and those for types alone, count like all others.

The line differs from the first sketch of the house in these:

- `report` stands before `models`. It shows documents, JSON-ready dictionaries, and knows nothing of
  what made them; and the folder that a result writes holds a model card, which is its work.
- What names a model, and the forms in which models are written (`models/source.py`,
  `models/writing.py`), are no verbs: results write themselves, so it stands before `pruning`.
- Modules of one subject that every room may need lie loose in front of all rooms.
- The package itself, which offers the verbs lazily, stands behind `integrations`: the command line
  uses it as anyone does. No room imports it; they find the version in `version.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MAP = ROOT / "docs/internals/architecture.md"
PACKAGE = "gossamer"


def line() -> list[tuple[str, list[str]]]:
    """What joins the rooms of each step, and these: the first block of the map."""
    (block,) = re.findall(r"^    errors,.*?(?=\n\n)", MAP.read_text("utf-8"), re.S | re.M)
    return [("|" if "|" in step else ",", re.findall(r"\w+", step)) for step in block.split("<")]


def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """The folder at the top, or the module that lies there; the package itself by its own name."""
    return module.split(".")[1] if "." in module else module


def imports(text: str) -> Iterator[str]:
    """Whatever a source imports, wherever it stands; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = called.id if isinstance(called, ast.Name) else called
            if name in ("import_module", "__import__"):
                yield from re.findall(r"[\w.]+\w", ast.unparse(node.args[0]))[:1]


def rooms_of(text: str, known: dict[str, Path]) -> set[str]:
    """The rooms that a source imports from."""
    found = set()
    for name in imports(text):
        if name.split(".")[0] == PACKAGE:
            # Of `from gossamer import errors` the module, of `from gossamer import compile` the
            # package.
            inner = ".".join(name.split(".")[:2])
            found.add(room(inner if inner in known else PACKAGE))
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import gossamer as gs", {"gossamer"}),
        ("from gossamer import compile", {"gossamer"}),
        ("from gossamer import errors", {"errors"}),
        ("from gossamer.models.adapter import Layer", {"models"}),
        ("def late():\n    import gossamer.runtime.session", {"runtime"}),
        ("if TYPE_CHECKING:\n    from gossamer.energy import Candidate", {"energy"}),
        ("importlib.import_module('gossamer.verbs.compare')", {"verbs"}),
        ("import_module(f'gossamer.verbs.{name}')", {"verbs"}),
        ("import torch\nfrom onnx import helper", set()),
    ],
)
def test_imports_are_seen_wherever_they_stand(text: str, found: set[str]) -> None:
    assert rooms_of(text, modules()) == found


def test_every_module_lies_in_a_room_of_the_line_and_every_room_is_there() -> None:
    stated = [name for _, step in line() for name in step]
    assert sorted(stated) == sorted({room(module) for module in modules()})


def test_imports_run_one_way() -> None:
    allowed: dict[str, set[str]] = {}
    before: set[str] = set()
    for joined, step in line():
        for name in step:
            allowed[name] = before | ({name} if joined == "|" else set(step))
        before |= set(step)
    known = modules()
    against = [
        f"{module} imports {other}"
        for module, path in sorted(known.items())
        for other in sorted(rooms_of(path.read_text("utf-8"), known) - allowed[room(module)])
    ]
    assert against == []


@pytest.mark.parametrize(
    ("of", "never"),
    [
        # A device that compiles and runs models does without; so does whoever places them.
        ("runtime", "torch"),
        ("graphs", "torch"),
        ("edge", "torch"),
        # Engines are entered in `engines.py`, by whoever has one.
        ("energy", "gossamer.runtime"),
    ],
)
def test_what_a_room_never_imports(of: str, never: str) -> None:
    against = [
        f"{module} imports {name}"
        for module, path in modules().items()
        for name in imports(path.read_text("utf-8"))
        if room(module) == of and f"{name}.".startswith(f"{never}.")
    ]
    assert against == []
