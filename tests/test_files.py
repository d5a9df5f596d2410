"""A reader sees the old file or the whole new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gossamer.errors import OutputError
from gossamer.files import atomic_path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "out.txt").exists()
        assert temporary.parent == tmp_path
    assert (tmp_path / "out.txt").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.txt"]


def test_an_error_in_the_block_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert (tmp_path / "out.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX bits")
def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_missing_folder_is_named_with_the_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(
            OutputError, match=r"cannot write .*out\.txt: No such file.*; choose a folder"
        ),
        atomic_path(tmp_path / "absent" / "out.txt"),
    ):
        pytest.fail("the block must not run")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(OutputError, match=r"cannot write .*out: .*; choose another place"),
        atomic_path(tmp_path / "out") as temporary,
    ):
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="No space left on device; choose another place or free"),
        atomic_path(tmp_path / "out.txt"),
    ):
        raise OSError(28, "No space left on device")
