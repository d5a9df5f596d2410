"""The folder that sparsify writes: whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gossamer.errors import OutputError
from gossamer.folders import check_folder, write_folder


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


@pytest.fixture
def refuge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system keeps temporary files."""
    place = tmp_path / "refuge"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OutputError])
def test_nothing_is_left_of_a_run_that_ends_early(
    tmp_path: Path, refuge: Path, error: type[BaseException]
) -> None:
    def stop(folder: Path) -> None:
        fill(folder)
        raise error

    with pytest.raises(error):
        write_folder(tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == [refuge] and list(refuge.iterdir()) == []


def test_what_does_not_fit_where_it_should_go_is_kept_elsewhere(
    tmp_path: Path, refuge: Path
) -> None:
    """It may have taken hours to make."""

    def fill_up(folder: Path) -> None:
        if refuge not in folder.parents:
            raise OSError(28, "No space left on device")
        fill(folder)

    with pytest.raises(OutputError, match="No space left on device; the result is in") as raised:
        write_folder(tmp_path / "out", fill_up)
    assert not (tmp_path / "out").exists()
    (kept,) = refuge.glob("*/out/mark")
    assert str(kept.parent) in str(raised.value) and kept.read_text() == "new"


def test_what_is_there_stays_unless_it_bears_the_mark(tmp_path: Path, refuge: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists already; choose a new folder"):
        check_folder(out, mark="mark")
    with pytest.raises(OutputError, match="exists already; the result is in"):
        write_folder(out, fill, mark="mark")
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]

    (out / "thesis.txt").rename(out / "mark")
    write_folder(out, fill, mark="mark")
    assert (out / "mark").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "refuge"]


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
