"""Running a measuring program of ours in a process of its own, with inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.errors import MeterError
from gossamer.files import temporary_folder

_LIMIT_SECONDS = 600
_NAMES = "names.json"


def run_fresh(
    program: str, arguments: Sequence[str], feeds: Mapping[str, np.ndarray[Any, Any]]
) -> dict[str, Any]:
    """Run `python -m PROGRAM ARGUMENTS FOLDER`, whose folder holds the inputs.

    Args:
        program: a module that ends by printing one JSON object as its last line.
        arguments: before the folder.
        feeds: inputs by name; the program gets them by `read_feeds`.

    Returns:
        The JSON object.

    Raises:
        MeterError: if the program fails or takes longer than ten minutes; the message is its last
            line.
    """
    with temporary_folder() as folder:
        for number, array in enumerate(feeds.values()):
            np.save(folder / f"{number}.npy", array, allow_pickle=False)
        (folder / _NAMES).write_text(json.dumps(list(feeds)), encoding="utf-8")
        environment = dict(os.environ)
        # -P keeps the working folder off the path; the package is found where this one was.
        paths = [str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", program, *arguments, str(folder)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MeterError(f"took longer than {_LIMIT_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise MeterError(lines[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def read_feeds(folder: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the inputs that `run_fresh` wrote."""
    names = json.loads((Path(folder) / _NAMES).read_text(encoding="utf-8"))
    return {
        name: np.load(Path(folder) / f"{number}.npy", allow_pickle=False)
        for number, name in enumerate(names)
    }
