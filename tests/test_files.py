"""A reader sees the old file or the whole new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gossamer.errors import OptionError, OutputError
from gossamer.files import (
    as_path,
    atomic_path,
    is_file,
    is_folder,
    remove_leftovers,
    temporary_folder,
)


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "out.txt").exists()
    assert (tmp_path / "out.txt").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.txt"]


@pytest.mark.parametrize("given", [None, 5, 2.5, b"out", ["out"], {}])
def test_what_is_no_path_is_one_line(given: Any) -> None:
    with (
        pytest.raises(OptionError, match="a path must be a str or a Path, not"),
        atomic_path(given),
    ):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("given", ["", "a\0b"])
def test_a_path_that_nothing_can_have_is_one_line(given: str) -> None:
    with pytest.raises(OptionError, match="names no file or folder; give a path"):
        as_path(given)


def test_a_path_that_names_no_file_is_one_line() -> None:
    with (
        pytest.raises(OutputError, match="names no file; choose another place"),
        atomic_path("."),
    ):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("name", ["absent", "a\0b", "a" * 5000, ""])
def test_of_a_name_that_no_file_can_have_there_is_none(name: str, tmp_path: Path) -> None:
    assert not is_file(tmp_path / name) and not is_file(name)
    assert is_folder(tmp_path) and not is_folder(tmp_path / "x" / name)


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


def test_the_process_s_umask_is_never_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a moment: it is that of all threads."""

    def umask(_: int) -> int:
        pytest.fail("the umask was set")

    monkeypatch.setattr(os, "umask", umask)
    with atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("x")


def test_a_file_of_many_threads_is_one_of_theirs(tmp_path: Path) -> None:
    def write(word: str) -> None:
        for _ in range(20):
            with atomic_path(tmp_path / "out.txt") as temporary:
                temporary.write_text(word * 1000)

    threads = [threading.Thread(target=write, args=(word,)) for word in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set((tmp_path / "out.txt").read_text())) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "out.txt"]


WRITING = """
import sys, time
from pathlib import Path
from gossamer.files import atomic_path, temporary_folder
with atomic_path(Path(sys.argv[1]) / "out.txt") as half, temporary_folder(half.parent) as folder:
    half.write_text("half")
    (folder / "deep").mkdir()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="files are locked by POSIX calls")
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", WRITING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        before = set(tmp_path.iterdir())
        assert before, "it is writing"
        remove_leftovers(tmp_path)
        assert set(tmp_path.iterdir()) == before
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert set(tmp_path.iterdir()) == before
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_no_leftovers(tmp_path: Path) -> None:
    for name in ("out.txt", ".out.txt.0123abcd.tmp", "x.gossamer-part", ".hidden"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".link.gossamer-part").symlink_to(tmp_path / "elsewhere")
    before = set(tmp_path.iterdir())
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_a_temporary_folder_goes_with_all_that_it_holds() -> None:
    with temporary_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
        if os.name == "posix":
            assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot write .*absent.*; choose a folder that exists"),
        temporary_folder(tmp_path / "absent" / "out"),
    ):
        pytest.fail("the block must not run")
