"""The checkpoint is whole or not there, and belongs to one call."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gossamer.errors import DataError, OptionError, OutputError
from gossamer.pruning.recovery.checkpoint import Checkpoint


def test_a_state_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "folder", {"steps": 3}, writes=True)
    assert checkpoint.read() is None
    checkpoint.write({"step": 2, "model": {"weight": torch.arange(3.0)}})
    found = Checkpoint(tmp_path / "new" / "folder", {"steps": 3}, writes=False).read()
    assert found is not None
    assert found["step"] == 2
    assert torch.equal(found["model"]["weight"], torch.arange(3.0))


def test_another_call_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"steps": 3, "seed": 0}, writes=True).write({})
    with pytest.raises(OptionError, match="with other seed, steps;"):
        Checkpoint(tmp_path, {"steps": 4}, writes=True).read()


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {}, writes=True)
    checkpoint.path.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="not a checkpoint of recovery"):
        checkpoint.read()
    torch.save([1, 2], checkpoint.path)
    with pytest.raises(DataError, match="not a checkpoint of recovery"):
        checkpoint.read()


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "touched",))

    checkpoint = Checkpoint(tmp_path, {}, writes=True)
    torch.save({"call": {}, "state": Evil()}, checkpoint.path)
    with pytest.raises(DataError):
        checkpoint.read()
    assert not (tmp_path / "touched").exists()


def test_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer.pruning.recovery.checkpoint.INTERVAL", 0.0)
    assert Checkpoint(tmp_path, {}, writes=True).is_due()
    other = Checkpoint(tmp_path, {}, writes=False)
    assert not other.is_due()
    other.write({})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        Checkpoint(tmp_path / "file" / "folder", {}, writes=True)
