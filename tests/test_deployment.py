"""The folder that sparsify writes: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossamer.deployment import check_folder, write_folder
from gossamer.errors import OutputError


def fill(folder: Path) -> str:
    (folder / "mark").write_text("new")
    return "done"


def test_the_folder_and_its_parents_appear(tmp_path: Path) -> None:
    assert write_folder(tmp_path / "a" / "b", fill) == "done"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b" / "mark").read_text() == "new"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", fill)
    assert (tmp_path / "out" / "mark").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OutputError])
def test_nothing_is_left_of_a_run_that_ends_early(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def stop(folder: Path) -> None:
        fill(folder)
        raise error

    with pytest.raises(error):
        write_folder(tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays_unless_it_bears_the_mark(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists already; choose a new folder"):
        write_folder(out, fill, mark="mark")
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]

    (out / "thesis.txt").rename(out / "mark")
    write_folder(out, fill, mark="mark")
    assert (out / "mark").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        check_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write"):
        check_folder(tmp_path / "file" / "out")


def test_the_working_folder_may_be_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("out"), fill)
    assert (tmp_path / "out" / "mark").exists()
