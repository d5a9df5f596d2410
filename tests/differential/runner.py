"""Many graphs in child processes: resumable, and what crashes costs one graph.

Every graph adds a line to `results.jsonl`; a later run in the same folder goes on where that ends.
A graph at fault is kept as `faults/SEED.onnx`, its inputs beside it.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from differential.models import definitions
from differential.outcomes import CRASHES, FAULTS, INVALID, RAISES, SKIPS_ZEROS

HERE = Path(__file__).parent

_NOW_AND_THEN = 0.1
"""An operator that runs natively in less than this part of its nodes is none of ours: its nodes
are left to ONNX Runtime unless what they give is known ahead."""
_CHUNK = 200
"""Graphs to a process: a fault of memory does not reach far."""


def run(
    folder: Path,
    seeds: Sequence[int],
    engine: str = "gossamer",
    setup: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    until_fault: bool = False,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Examine the models of some seeds, but for those whose results are in the folder already.

    Args:
        setup: further arguments of the worker.
        until_fault: end at the first fault.
        jobs: how many workers at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "results.jsonl"
    results = {result["seed"]: result for result in read(kept)}
    left = [seed for seed in seeds if seed not in results]
    found = _together(
        left, jobs, lambda part: examine_all(part, folder, engine, setup, environment)
    )
    with kept.open("a") as file:
        for result in found:
            file.write(json.dumps(result) + "\n")
            file.flush()
            results[result["seed"]] = result
            if until_fault and result["outcome"] in FAULTS:
                break
    wanted = set(seeds)
    return [result for seed, result in sorted(results.items()) if seed in wanted]


def _together(
    seeds: Sequence[int],
    jobs: int,
    examine: Callable[[Sequence[int]], Iterator[dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """What comes of all seeds, as several workers tell it at a time."""
    if jobs < 2:
        yield from examine(seeds)
        return
    told: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def one(part: Sequence[int]) -> None:
        try:
            for result in examine(part):
                told.put(result)
        finally:
            told.put(None)

    for job in range(jobs):
        threading.Thread(target=one, args=(seeds[job::jobs],), daemon=True).start()
    ended = 0
    while ended < jobs:
        result = told.get()
        if result is None:
            ended += 1
        else:
            yield result


def read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                # A line that was being written when the process ended.
                continue


def examine_all(
    seeds: Sequence[int],
    folder: Path,
    engine: str,
    setup: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What comes of each seed, as worker processes tell it."""
    left = list(seeds)
    while left:
        chunk = left[:_CHUNK]
        command = [sys.executable, str(HERE), "work", "--folder", str(folder / "faults")]
        command += ["--engine", engine, *setup, "--seeds", ",".join(map(str, chunk))]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        begun: int | None = None
        done: set[int] = set()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                told = json.loads(line)
                if "begin" in told:
                    begun = told["begin"]
                    continue
                done.add(told["seed"])
                begun = None
                yield told
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if begun is not None:
            done.add(begun)
            yield _ended(begun, code, folder)
        elif not done:
            raise SystemExit(f"the worker ended with {code} before its first graph")
        left = [seed for seed in left if seed not in done]


def _ended(seed: int, code: int, folder: Path) -> dict[str, Any]:
    """A process that ended within a graph: in Gossamer if the model was made by then."""
    reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
    made = (folder / "faults" / f"{seed}.onnx").exists()
    return {"seed": seed, "outcome": CRASHES if made else INVALID, "reason": reason, "nodes": {}}


def find(folder: Path, names: Sequence[str], graphs: int) -> list[int | None]:
    """How many graphs it takes to find each fault that is put back, and print it.

    A graph that is at fault without it counts for nothing.
    """
    from differential.faults import FAULTS as PLANTED
    from differential.faults import check_edits

    check_edits()
    plain = folder / "plain"
    found: list[int | None] = []
    for name in names or PLANTED:
        place = folder / re.sub(r"\W+", "-", name)
        cache = place / "cache"
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its own, for kernels that are kept are known by what they should be.
        environment = {"GOSSAMER_CACHE": str(cache)}
        taken: int | None = None
        told: dict[str, Any] = {}
        for told in examine_all(range(graphs), place, "gossamer", ["--undo", name], environment):
            seed = told["seed"]
            if told["outcome"] in FAULTS and run(plain, [seed])[0]["outcome"] not in FAULTS:
                taken = seed + 1
                break
        print(
            json.dumps({"fault": name, "graphs": taken, "seen as": told.get("reason")}), flush=True
        )
        found.append(taken)
    return found


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts over many graphs."""
    outcomes = Counter(result["outcome"] for result in results)
    counts: Counter[str] = Counter()
    native: Counter[str] = Counter()
    for result in results:
        for name, (ran, left) in result.get("nodes", {}).items():
            counts[name] += ran + left
            native[name] += ran
    wanted = [f"{op}:{since}" for op, since in definitions()]
    ops = {op for op, _ in definitions()}
    shares = {op: _share(op, native, counts) for op in ops}
    ours = {op for op, share in shares.items() if share > _NOW_AND_THEN}
    least = sorted((native[name], name) for name in wanted if name.split(":")[0] in ours)
    graphs = len(results)
    return {
        "graphs": graphs,
        "valid": round(1 - outcomes[INVALID] / max(graphs, 1), 4),
        "outcomes": dict(outcomes),
        "faults": [r["seed"] for r in results if r["outcome"] in FAULTS],
        "limited sizes": sum(result.get("limited", 0) for result in results),
        "skipping zeros": [r["seed"] for r in results if r["outcome"] == SKIPS_ZEROS],
        "nodes": sum(counts.values()),
        "native": round(sum(native.values()) / max(sum(counts.values()), 1), 4),
        "definitions": len(least),
        "least natively run": " ".join(map(str, reversed(least[0]))) if least else "",
        "next": {name: count for count, name in least[1:20]},
        "definitions below 200": sum(count < 200 for count, _ in least),
        "native now and then": sorted(ops - ours),
        "seconds a graph": round(
            sum(sum(result.get("seconds", ())) for result in results) / max(graphs, 1), 3
        ),
    }


def _share(op: str, native: Counter[str], counts: Counter[str]) -> float:
    """The part of an operator's nodes that ran natively."""
    ran, all_ = (
        sum(count for name, count in given.items() if name.split(":")[0] == op)
        for given in (native, counts)
    )
    return ran / max(all_, 1)


def reduce(path: Path, engine: str) -> Path:
    """A smaller model with the same outcome, beside the one that is given."""

    from differential.reducer import smaller

    goal = _kind(outcome_of(path, engine))
    if goal[0] not in FAULTS:
        return path
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "small.onnx"
        shutil.copy(path, place)
        shutil.copy(path.with_suffix(".npz"), place.with_suffix(".npz"))
        smaller(place, lambda candidate: _kind(outcome_of(candidate, engine)) == goal)
        result = path.with_suffix(".small.onnx")
        shutil.copy(place, result)
        shutil.copy(place.with_suffix(".npz"), result.with_suffix(".npz"))
    return result


def _kind(found: Mapping[str, Any]) -> tuple[str, str]:
    """What a smaller model must have in common: the outcome, and the first words of an error."""
    reason = found.get("reason", "") if found["outcome"] == RAISES else ""
    return found["outcome"], re.sub(r"'[^']*'|\d+", "", reason)[:40]


def outcome_of(path: Path, engine: str) -> dict[str, Any]:
    """What comes of a model that was kept, in a copy of this process: it may crash."""
    from differential.worker import examine_file

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.alarm(60)
            told = json.dumps(examine_file(path, engine))
            os.write(writer, told.encode()[: 1 << 15])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told_by = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not told_by:
        return {"outcome": CRASHES, "reason": f"status {status}"}
    found: dict[str, Any] = json.loads(told_by)
    return found
