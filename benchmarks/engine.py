"""A process that holds one engine with a model, and runs it when told to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import busy

PROCESS = Path(__file__).with_name("engine_process.py")


@dataclass(frozen=True)
class Setting:
    """One way to run the model in an engine."""

    engine: str
    file: str
    """`sparse`, or how the dense model was quantized: `static` or `dynamic`."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The setting in a word or two."""
        return " ".join([self.file, *self.options.values()])


class Engine:
    """A process that holds one engine with the model, and runs it when told to."""

    def __init__(
        self,
        name: str,
        setting: Setting,
        file: Path,
        feeds: Path,
        threads: int,
        python: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.setting = name, setting
        command = [python, str(PROCESS), setting.engine, str(file), str(feeds), str(threads)]
        self._process = subprocess.Popen(
            [*command, json.dumps(dict(setting.options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.windows: list[dict[str, float]] = []
        self.idle: list[float] = []
        """CPU seconds a second in each window of another engine."""
        self.outputs = feeds.with_name(f"{name}.npy")
        self.made = self._answer()

    def cpu_seconds(self) -> float:
        """What the process has taken so far."""
        return busy.of_process(self._process.pid)

    def window(self, seconds: float) -> dict[str, float]:
        """Run for some seconds: the median time and the CPU seconds of one run."""
        self._tell(str(seconds))
        return self._answer()

    def end(self) -> dict[str, float]:
        """Write the outputs, end the process, and return its peak memory."""
        self._tell(str(self.outputs))
        answer = self._answer()
        self._process.communicate(timeout=60)
        return answer

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # Engines print banners of their own.
            if line.startswith("{"):
                answer: dict[str, float] = json.loads(line)
                return answer
        _, errors = self._process.communicate()
        raise RuntimeError(f"{self.name} failed: {errors.strip().splitlines()[-1:]}")
