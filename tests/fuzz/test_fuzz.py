"""What reads files that others made raises nothing but errors of one line, whatever is in them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import targets
from fuzz.targets import PLANTS, TARGETS
from gossamer.errors import GossamerError

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: pip install -e '.[fuzz]'",
)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few by chance; the fuzzer goes where they lead."""
    monkeypatch.setattr(targets, "FOLDER", tmp_path)
    target, chance = TARGETS[name], random.Random(0)
    read = refused = 0
    for seed in list(target.seeds())[:20]:
        for data in (seed, *(target.change(seed, chance) for _ in range(8))):
            try:
                target.run(data or b"")
                read += 1
            except GossamerError as error:
                assert str(error)
                refused += 1
    # Changes reach beyond the first check, and some are too much.
    assert read > 3 and refused > 3


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_the_fuzzer_finds_faults_that_are_put_in(plant: str, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent), "run", "--plant", plant]
    command += ["--minutes", "3", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    (told,) = json.loads(done.stdout).values()
    assert told["faults"]
    # It is the one that was put in: without it there is none.
    for file in (tmp_path / PLANTS[plant][0] / "faults").glob("*.bin"):
        with contextlib.suppress(GossamerError):
            TARGETS[PLANTS[plant][0]].run(file.read_bytes())
