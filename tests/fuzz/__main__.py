"""Fuzz what reads files that others made: `python tests/fuzz run --minutes 60`.

Needs atheris: `pip install -e '.[fuzz]'`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# As packages of the tests' folder, whatever folder this is called from.
sys.path[0] = str(HERE.parent)

from fuzz.targets import PLANTS, TARGETS  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="fuzz one target after another, and tell what came of it")
    run.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    run.add_argument("--minutes", type=float, default=60, help="in all")
    run.add_argument("--folder", type=Path, help="for corpus and faults; a rerun goes on there")
    run.add_argument("--seed", type=int, default=1, help="of the first process; the next adds 1")
    run.add_argument("--plant", choices=[*PLANTS], help="a fault to be found")
    one = commands.add_parser("one", help="what `run` starts")
    one.add_argument("target", choices=[*TARGETS])
    one.add_argument("--folder", type=Path, required=True)
    one.add_argument("--seconds", type=int, required=True)
    one.add_argument("--seed", type=int, required=True)
    one.add_argument("--plant")
    covered = commands.add_parser("covered", help="the lines that a corpus runs")
    covered.add_argument("target", choices=[*TARGETS])
    covered.add_argument("--folder", type=Path, required=True)
    replay = commands.add_parser("replay", help="run a target on files that were kept")
    replay.add_argument("target", choices=[*TARGETS])
    replay.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "one":
        from fuzz.fuzzing import fuzz

        fuzz(given.target, given.folder, given.seconds, given.seed, given.plant)
        return 0
    if given.command == "covered":
        from fuzz.fuzzing import covered as measure

        print(json.dumps(measure(given.target, given.folder)))
        return 0
    if given.command == "replay":
        for file in given.files:
            TARGETS[given.target].run(file.read_bytes())
        return 0
    folder = given.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    names = given.targets or ([PLANTS[given.plant][0]] if given.plant else [*TARGETS])
    told = {
        name: _fuzz(name, folder / name, given.minutes * 60 / len(names), given) for name in names
    }
    print(json.dumps(told, indent=1))
    return int(any(entry["faults"] for entry in told.values()))


def _fuzz(name: str, folder: Path, seconds: float, given: argparse.Namespace) -> dict[str, object]:
    """Fuzz one target; what ends the process is kept, and it begins again."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "FUZZ_SCRATCH": str(scratch)}
    end, begun = time.monotonic() + seconds, 0
    while (left := int(end - time.monotonic())) > 0:
        command = [sys.executable, str(HERE), "one", name, "--folder", str(folder)]
        command += ["--seconds", str(left), "--seed", str(given.seed + begun)]
        command += ["--plant", given.plant] if given.plant else []
        begun += 1
        with (folder / "log.txt").open("a") as log:
            done = subprocess.run(command, stdout=log, stderr=log, env=environment)
        if given.plant and _faults(folder):
            break
        if done.returncode == 1:
            raise SystemExit(f"the fuzzer did not start; see {folder / 'log.txt'}")
    command = [sys.executable, str(HERE), "covered", name, "--folder", str(folder)]
    lines = subprocess.run(command, capture_output=True, text=True, env=environment)
    return {
        "faults": _faults(folder),
        "seed": given.seed,
        "processes": begun,
        "executed": int.from_bytes((folder / "executed").read_bytes(), sys.byteorder),
        "lines covered": json.loads(lines.stdout.splitlines()[-1]) if lines.stdout else None,
        "corpus": len(list((folder / "corpus").iterdir())),
    }


def _faults(folder: Path) -> list[str]:
    """Places that raised something else, and artifacts of what ended the process."""
    found = []
    for path in sorted((folder / "faults").glob("*")):
        if path.suffix == ".json":
            entry = json.loads(path.read_text())
            found.append(f"{path.with_suffix('.bin')}: {entry['place']}: {entry['error'][:120]}")
        elif path.suffix != ".bin":
            found.append(str(path))
    return found


if __name__ == "__main__":
    sys.exit(main())
