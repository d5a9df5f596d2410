"""What all verbs of the command line share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from gossamer import command_line
from gossamer.cli import app
from gossamer.cli import main as gossamer
from gossamer.errors import OptionError

_GOSSAMER = [sys.executable, "-m", "gossamer"]


def _code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        gossamer(list(arguments))
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("more than max_drop=0.1: search on", "more than --max-drop 0.1: search on"),
        ("give evaluate= with max_drop=, or less", "give --evaluate with --max-drop, or less"),
        ("layers= names 'x'", "--layers names 'x'"),
        ("compile it with engine='auto'", "compile it with engine='auto'"),
        ("two\nlines", "two lines"),
    ],
)
def test_errors_speak_of_options(message: str, words: str) -> None:
    assert command_line.in_options(app, ["sparsify", "m.onnx"], message) == words


def test_help_of_a_verb_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("help", "sparsify") == 0
    assert "Example: gossamer sparsify model.onnx" in capsys.readouterr().out
    assert _code("help") == 0
    assert "sparsify" in capsys.readouterr().out


def test_a_verb_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("sparsifi") == 2
    assert "sparsify" in capsys.readouterr().err


def _one_verb(act: Any) -> typer.Typer:
    one = typer.Typer()

    @one.command()
    def verb(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        act()

    return one


def test_with_json_nothing_else_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        print("from the user's file")
        command_line.print_json({"sparsity": 0.5})

    with pytest.raises(SystemExit):
        command_line.run(_one_verb(act), ["--json"])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"sparsity": 0.5}
    assert captured.err == "from the user's file\n"


def test_that_holds_for_what_is_no_python_too(small_onnx: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.py"
    data.write_text(
        "import os\nimport numpy as np\n"
        "def batches():\n    print('python')\n    os.system('echo shell')\n"
        "    yield {'x': np.zeros((2, 64), np.float32)}\n"
    )
    done = subprocess.run(
        [*_GOSSAMER, "inspect", small_onnx, "--inputs", f"{data}:batches", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["inputs"] == {"x": [1, 64]}
    assert {"python", "shell"} <= set(done.stderr.split())


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    _code("--version")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_error_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        raise OptionError("no\ngood")

    with pytest.raises(SystemExit) as stop:
        command_line.run(_one_verb(act), [])
    assert stop.value.code == 2 and capsys.readouterr().err == "gossamer: no good\n"


@pytest.mark.parametrize("option", ["--evaluate", "--final-evaluate"])
def test_an_option_left_empty_is_not_passed_over(
    option: str, small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from a variable of the shell that was never set."""
    arguments = ["--out", str(tmp_path / "out"), "--solver", "magnitude", "--sparsity", "0.5"]
    assert _code("sparsify", str(small_onnx), *arguments, option, "") == 2
    assert "'' is not of the form FILE.py:FUNCTION" in capsys.readouterr().err


def test_a_users_function_that_ends_the_program_is_one_line_and_code_2(
    small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task.py"
    file.write_text("import sys\ndef score(session):\n    sys.exit(0)\n")
    arguments = ["--solver", "magnitude", "--sparsity", "0.5", "--evaluate", f"{file}:score"]
    assert _code("sparsify", str(small_onnx), "--out", str(tmp_path / "out"), *arguments) == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert "the user's code ends the program (SystemExit: 0 at task.py:3); leave out" in said


@pytest.mark.parametrize(
    ("number", "folder", "words"),
    [
        (signal.SIGINT, True, "the same command goes on from what --folder holds"),
        (signal.SIGTERM, False, "with --folder DIR the same command would go on"),
    ],
)
def test_what_is_ended_leaves_nothing_behind_and_says_how_to_go_on(
    number: signal.Signals, folder: bool, words: str, small_onnx: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "task.py").write_text(
        "import time\ndef slow(session):\n    print('evaluating', flush=True)\n    time.sleep(60)\n"
    )
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    command = [*_GOSSAMER, "sparsify", small_onnx, "--out", out]
    command += ["--solver", "magnitude", "--sparsity", "0.5"]
    command += ["--evaluate", tmp_path / "task.py:slow"]
    command += ["--folder", tmp_path / "kept"] if folder else []
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "evaluating\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.splitlines()[-1].startswith("gossamer: ended before it was done") and words in err
    assert "Traceback" not in err
    # Not ours: ONNX Runtime writes down that it was started.
    left = [path for path in temporary.iterdir() if path.name != ".ses"]
    assert not out.exists() and not left
