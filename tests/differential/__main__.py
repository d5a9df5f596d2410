"""The commands; run `python tests/differential --help`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# As a package of the tests' folder, whatever folder this is called from.
sys.path[0] = str(HERE.parent)

from differential import runner  # noqa: E402


def ops(path: Path) -> str:
    """A model in a line."""
    from differential import worker

    model, _ = worker.load(path)
    return " ".join(f"{node.op_type}" for node in model.graph.node)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/differential", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="examine many random graphs")
    run.add_argument("--graphs", type=int, default=20_000)
    run.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    run.add_argument(
        "--folder", type=Path, required=True, help="for results; a rerun goes on there"
    )
    run.add_argument("--jobs", type=int, default=1, help="processes at a time")
    find = commands.add_parser("find", help="how many graphs find each fault of `faults.py`")
    find.add_argument("names", nargs="*")
    find.add_argument("--graphs", type=int, default=2000, help="at most")
    find.add_argument("--folder", type=Path, required=True)
    one = commands.add_parser("one", help="examine the graph of one seed")
    one.add_argument("seed", type=int)
    one.add_argument("--folder", type=Path, default=Path("faults"))
    file = commands.add_parser("file", help="examine a graph that was kept")
    file.add_argument("path", type=Path)
    small = commands.add_parser("reduce", help="make a graph that was kept smaller")
    small.add_argument("paths", type=Path, nargs="+")
    work = commands.add_parser("work", help="what `run` starts")
    work.add_argument("--seeds", required=True)
    work.add_argument("--folder", type=Path, required=True)
    for command in (run, one, file, small, work):
        command.add_argument("--engine", choices=("gossamer", "auto"), default="gossamer")
        command.add_argument("--undo", help="put a fault of `faults.py` back")
    given = parser.parse_args()
    if given.command == "find":
        found = runner.find(given.folder, given.names, given.graphs)
        return int(None in found)
    setup = ["--undo", given.undo] if given.undo else []
    if given.command == "run":
        seeds = range(given.seed, given.seed + given.graphs)
        results = runner.run(given.folder, seeds, given.engine, setup, jobs=given.jobs)
        told = runner.summary(results)
        print(json.dumps(told, indent=1))
        return int(bool(told["faults"]))
    if given.undo:
        from differential.faults import undo

        undo(given.undo)
    from differential import worker

    if given.command == "work":
        worker.work([int(seed) for seed in given.seeds.split(",")], given.folder, given.engine)
    elif given.command == "one":
        given.folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(worker.one(given.seed, given.folder, given.engine), indent=1))
    elif given.command == "reduce":
        for path in given.paths:
            small = runner.reduce(path, given.engine)
            found = runner.outcome_of(small, given.engine)
            print(json.dumps({"model": str(small), "nodes": ops(small), **found}), flush=True)
    else:
        print(json.dumps(worker.examine_file(given.path, given.engine)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
