"""Load a model, run it once and say how much memory that took at the peak.

    python -m gossamer.energy.memory_process MODEL ENGINE THREADS FOLDER

takes the inputs from the folder (names.json, and 0.npy, 1.npy ... in that order) and prints one
JSON object: bytes at the peak, where that figure is from, and those held at the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gossamer.energy.engines import open_model
from gossamer.energy.fresh_process import read_feeds
from gossamer.errors import GossamerError


def resident_peak() -> tuple[int, str]:
    """Return the peak physical memory of this process in bytes, and where the figure is from."""
    # Unlike ru_maxrss, this starts anew when a process starts a program.
    known = _status("VmHWM")
    if known is not None:
        return known, "VmHWM of a fresh process, one run"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * unit, "ru_maxrss of a fresh process, one run"


def _status(field: str) -> int | None:
    """Return what Linux says of this process's memory, in bytes; None elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def _main(file: str, engine: str, threads: str, inputs: str) -> None:
    feeds = read_feeds(inputs)
    try:
        model = open_model(Path(file), engine, int(threads))
        model.run(feeds)
    except GossamerError as error:
        sys.exit(str(error))
    resident = _status("VmRSS")
    size, method = resident_peak()
    print(json.dumps({"bytes": size, "method": method, "resident": resident}))
    model.close()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4])
