"""The examples run as they are, and the README holds what the checks run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Those that train or measure take their time.
QUICK = {"compile_onnx", "service"}
EXAMPLES = [
    pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem)
    for path in sorted((ROOT / "examples").glob("*.py"))
]
NEEDED = {"service": "fastapi"}
PACKAGES = {
    "file_types": "magika",
    "pitch": "swift_f0",
    "speech": "silero_vad",
    "text_in_images": "rapidocr_onnxruntime",
    "wake_word": "livekit.wakeword",
}
"""What the examples with packages that bring their own models need; all but that of
`text_in_images`, which is large, come with the extra `dropin`."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    pytest.importorskip(NEEDED.get(example.stem, "torch"))
    run(example, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", PACKAGES)
def test_a_package_runs_with_its_models_in_gossamer(example: str, tmp_path: Path) -> None:
    """Each compares what it gives with what it gave before."""
    pytest.importorskip(PACKAGES[example])
    run(ROOT / "examples" / "packages" / f"{example}.py", tmp_path)


def test_each_package_has_an_example() -> None:
    found = {path.stem for path in (ROOT / "examples" / "packages").glob("*.py")}
    assert found == set(PACKAGES)


def run(example: Path, tmp_path: Path) -> None:
    # Networks this small gain nothing from threads, and wait long for them on a busy machine.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


def test_the_readme_has_two_commands_that_set_up() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (python3\.11 -m venv .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("gossamer demo")
    assert commands[1].endswith("pytest")


def test_the_readme_links_to_what_is_there() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_readme_command_line_is_the_real_one() -> None:
    from typer.main import get_command

    from gossamer.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^    gossamer (\w+)(.*)$", readme, re.MULTILINE)
    assert len(shown) >= 4
    for verb, arguments in shown:
        options = {option for parameter in commands[verb].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", arguments)) <= options


def test_constraints_name_every_requirement_without_local_builds() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = set(re.findall(r'"([a-z0-9-]+)(?:>=|==)', project))
    assert required and required <= pinned
    assert not [version for version in pins.values() if "+" in version]
