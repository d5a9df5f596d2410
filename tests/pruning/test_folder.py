from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gossamer.errors import OptionError, OutputError
from gossamer.pruning.folder import Folder, digest_of_batches

job = {"model": "m", "calibration data": "c", "layers": ["a", "b"]}


def test_the_same_job_finds_its_folder_again(tmp_path: Path) -> None:
    first = Folder(tmp_path / "deep" / "job", job)
    first.add_trial({"step": 1})
    again = Folder(tmp_path / "deep" / "job", job)
    assert again.trials() == [{"step": 1}]


def test_the_folder_of_another_job_is_refused_and_told_apart(tmp_path: Path) -> None:
    Folder(tmp_path / "job", job)
    with pytest.raises(OptionError, match=r"another job: its calibration data and layers differ"):
        Folder(tmp_path / "job", {**job, "calibration data": "d", "layers": ["a"]})


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OptionError, match="something else"):
        Folder(tmp_path, job)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use folder"):
        Folder(tmp_path / "file", job)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "job", job)
    folder.add_trial({"step": 1})
    with (tmp_path / "job" / "trials.jsonl").open("a") as file:
        file.write('{"step": 2, "sco')
    assert folder.trials() == [{"step": 1}]


def test_what_was_written_is_read_and_what_is_broken_is_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "job", job)
    folder.write("costs.json", {"rest": 1.5})
    assert folder.read("costs.json") == {"rest": 1.5} and folder.read("none.json") is None
    (tmp_path / "job" / "costs.json").write_text("{")
    assert folder.read("costs.json") is None


def test_data_that_differs_has_another_digest() -> None:
    x = np.arange(6).reshape(2, 3)
    digest = digest_of_batches([{"x": x}])
    assert digest == digest_of_batches([{"x": x.copy()}])
    others = ([{"y": x}], [{"x": x + 1}], [{"x": x.reshape(3, 2)}], [{"x": x.astype(float)}], [])
    assert digest not in [digest_of_batches(batches) for batches in others]


def test_a_trial_after_a_line_that_was_cut_off_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "job", {"model": "one"})
    folder.add_trial({"step": 1})
    with (folder.path / "trials.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "sco\xff')
    folder.add_trial({"step": 3})
    assert folder.trials() == [{"step": 1}, {"step": 3}]


def test_what_a_kill_in_the_first_write_left_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / "job" / ".job.json.0123abcd.gossamer-part"
    left.mkdir(parents=True)
    (left / "job.json").write_text('{"mod')
    Folder(tmp_path / "job", job)
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["job.json"]


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_job_that_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(OutputError, match="cannot use folder"):
        Folder(tmp_path, job)
