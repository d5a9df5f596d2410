"""One target under atheris, in a process of its own, and the lines that its corpus covers."""

from __future__ import annotations

import contextlib
import dis
import hashlib
import json
import os
import random
import sys
import threading
import traceback
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from fuzz.targets import PLANTS, ROOT, TARGETS

_LONGEST = 1 << 16
_SOURCE = ROOT / "src" / "gossamer"


def fuzz(name: str, folder: Path, seconds: int, seed: int, plant: str | None) -> None:
    """Fuzz one target; ends the process.

    How often it ran is counted in `folder/executed`, reruns included. What raises anything but a
    `GossamerError` is kept in `folder/faults`, once for each place, and fuzzing goes on.
    """
    import atheris

    target = TARGETS[name]
    corpus, faults = folder / "corpus", folder / "faults"
    corpus.mkdir(parents=True, exist_ok=True)
    faults.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["gossamer"]):
        import gossamer.edge.scenario
        import gossamer.formats
        import gossamer.formats.onnx_graph
        import gossamer.runtime.onnx_import  # noqa: F401
    from gossamer.errors import GossamerError

    # Only now, for what writes them is what is fuzzed, and must be instrumented first.
    for position, content in enumerate(target.seeds()):
        (corpus / f"seed{position}").write_bytes(content)
        # What a first run imports is no part of what is timed.
        with contextlib.suppress(Exception):
            target.run(content)
    if plant is not None:
        PLANTS[plant][1]()

    counter = folder / "executed"
    if not counter.exists():
        counter.write_bytes(bytes(8))
    executed = np.memmap(counter, np.int64, "r+")

    def one(data: bytes) -> None:
        executed[0] += 1
        try:
            target.run(data)
        except GossamerError:
            return
        except Exception as error:
            _keep(faults, data, error)
            if plant is not None:
                os._exit(0)

    def mutator(data: bytes, most: int, draw: int) -> bytes:
        chance = random.Random(draw)
        made = target.change(data, chance) if chance.random() < 0.8 else None
        if made is None or len(made) > most:
            made = atheris.Mutate(data, most)
        return bytes(made)

    arguments = [sys.argv[0], f"-max_total_time={seconds}", f"-seed={seed}"]
    arguments += [
        f"-max_len={_LONGEST}",
        "-timeout=120",
        # On a busy machine a run may take longer than the usual ten.
        "-report_slow_units=120",
        "-rss_limit_mb=3000",
        f"-artifact_prefix={faults}/",
        "-verbosity=0",
    ]
    atheris.Setup([*arguments, str(corpus)], one, custom_mutator=mutator)
    atheris.Fuzz()


def _keep(faults: Path, data: bytes, error: Exception) -> None:
    frames = [
        f"{Path(frame.filename).name}:{frame.name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "gossamer" in frame.filename
    ]
    place = f"{type(error).__name__} {frames[-1] if frames else ''}"
    name = hashlib.sha256(place.encode()).hexdigest()[:12]
    told = faults / f"{name}.json"
    if not told.exists():
        (faults / f"{name}.bin").write_bytes(data)
        text = "".join(traceback.format_exception(error))[-3000:]
        told.write_text(json.dumps({"place": place, "error": str(error)[:300], "trace": text}))


def covered(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """For each module the part of its lines that a corpus runs, 0 to 1, and all others."""
    target = TARGETS[name]
    files = {str(_SOURCE / module): module for module in target.covers}
    seen: dict[str, set[int]] = {file: set() for file in files}

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        seen[frame.f_code.co_filename].add(frame.f_lineno)
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in seen:
            return None
        seen[frame.f_code.co_filename].add(frame.f_lineno)
        return local

    threading.settrace(trace)
    try:
        for path in sorted((folder / "corpus").iterdir()):
            # Each time, for what nests too deeply ends tracing.
            sys.settrace(trace)
            try:
                target.run(path.read_bytes())
            except Exception:
                continue
    finally:
        sys.settrace(None)
        threading.settrace(None)
    found = {}
    for file, module in files.items():
        lines = _lines(compile(Path(file).read_text(), file, "exec"))
        part = round(len(lines & seen[file]) / len(lines), 3)
        found[module] = {"part": part, "not run": sorted(lines - seen[file])}
    return found


def _lines(code: CodeType) -> set[int]:
    """The lines of a module that code is made of."""
    found = {line for _, line in dis.findlinestarts(code) if line}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _lines(inner)
    return found
