"""A missing optional package is one line that says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gossamer.errors import OptionError
from gossamer.extras import needed_for

# Runs lines as if torch were not installed.
WITHOUT_TORCH = """
import importlib.util, json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
sys.meta_path.insert(0, Absent())
import gossamer as gs
from gossamer.errors import GossamerError
model, folder = sys.argv[1:3]
said = []
for line in sys.argv[3:]:
    try:
        eval(line)
    except GossamerError as error:
        said.append(str(error))
    else:
        said.append("done")
print(json.dumps(said))
"""
LINES = {
    "gs.sparsify(model, sparsity=0.5, solver='magnitude')": "sparsifying needs torch",
    "gs.recover(model, model, {})": "recovering needs torch",
    "gs.Sparsifier(sparsity=0.5)": "sparse training needs torch",
    "gs.inspect(folder)": "needs torch; install gossamer[transformers]",
    "gs.compile(folder)": "needs torch; install gossamer[transformers]",
    "gs.compile(model)": "done",
    "gs.inspect(model)": "done",
}


def test_the_extra_of_the_package_is_named() -> None:
    with (
        pytest.raises(OptionError, match=r"^drawing needs cvxpy; install gossamer\[edge\]$"),
        pytest.MonkeyPatch.context() as patch,
        needed_for("drawing"),
    ):
        patch.setattr("importlib.util.find_spec", lambda name: None)
        raise ModuleNotFoundError("No module named 'cvxpy.atoms'", name="cvxpy.atoms")


@pytest.mark.parametrize("name", ["torch.broken", "somebody_else", None])
def test_what_no_extra_mends_is_raised_as_it_is(name: str | None) -> None:
    """A package that is there but broken, and one that is none of ours."""
    with pytest.raises(ModuleNotFoundError), needed_for("drawing"):
        raise ModuleNotFoundError("No module", name=name)


def test_a_device_s_install_says_what_more_a_verb_needs(small_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    command = [sys.executable, "-c", WITHOUT_TORCH, str(small_onnx), str(folder), *LINES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for said, line in zip(json.loads(done.stdout), LINES, strict=True):
        assert LINES[line] in said, line
        assert "\n" not in said
