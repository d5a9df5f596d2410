"""What takes part in a comparison: something that runs, and the file it came from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gossamer import machine
from gossamer.energy.engines import open_model
from gossamer.engines import Feeds
from gossamer.errors import OptionError

_DEFLATED_AT_MOST = 256 << 20
_CHUNK = 1 << 20


def _nothing() -> None:
    """Free nothing: a plain callable belongs to the caller."""


@dataclass(frozen=True)
class Candidate:
    """One model as it would be used.

    Attributes:
        name: by which tables and verdicts call it.
        run: runs one inference on inputs by name.
        file: what must be deployed, if there is a file.
        engine: what runs the file; None for a callable, whose memory is then not measured.
        threads: for one inference, as far as known.
        close: frees what `run` holds.
        ran_by: the engine that really runs the file: Gossamer leaves some models to ONNX Runtime.
    """

    name: str
    run: Callable[[dict[str, np.ndarray[Any, Any]]], Any]
    file: Path | None = None
    engine: str | None = None
    threads: int | None = None
    close: Callable[[], None] = _nothing
    ran_by: str | None = None

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        engine: str = "onnxruntime",
        threads: int | None = None,
        name: str | None = None,
    ) -> Candidate:
        """Load a model file as a candidate.

        Args:
            path: an ONNX file, or a sparse Gossamer file that carries its graph.
            engine: "gossamer", "onnxruntime" with spinning off, "openvino", or what else was
                entered in `gossamer.engines.ENGINES`.
            threads: for one inference; by default a physical core each that this process may use.
            name: by default the file's and the engine's.

        Raises:
            ModelError: if the file is missing or the engine cannot load it.
            OptionError: if the engine is unknown or not installed, or `threads` is below 1.
        """
        path = Path(path)
        threads = machine.default_threads() if threads is None else threads
        model = open_model(path, engine, threads)

        def run(feeds: Feeds) -> list[Any]:
            return model.run(feeds)

        name = f"{path.name} in {engine}" if name is None else name
        return cls(name, run, path, engine, threads, model.close, model.ran_by)

    @classmethod
    def from_session(cls, session: Any, name: str) -> Candidate:
        """Take what has `run(None, feeds)`: a session of Gossamer or of ONNX Runtime.

        Its memory is not measured, since it cannot be started afresh. ONNX Runtime's threads burn
        CPU for 100 ms after a run unless `session.intra_op.allow_spinning` is "0".

        Raises:
            OptionError: if it has no `run`.
        """
        if not callable(getattr(session, "run", None)):
            raise OptionError(
                f"{type(session).__name__} has no run(None, feeds); give a session, or make a "
                "Candidate of a function"
            )
        return cls(name, lambda feeds: session.run(None, feeds))

    def file_bytes(self) -> int | None:
        """Return the bytes to deploy, an ONNX file's external data included; None for no file."""
        files = self._files()
        return sum(file.stat().st_size for file in files) if files else None

    def compressed_bytes(self) -> int | None:
        """Return the bytes of the same files deflated, as in a .zip.

        None for no file, and above 256 MiB: a column is not worth minutes.
        """
        size = self.file_bytes()
        if size is None or size > _DEFLATED_AT_MOST:
            return None
        return sum(map(_deflated, self._files()))

    def _files(self) -> list[Path]:
        if self.file is None:
            return []
        files = {self.file}
        if self.file.suffix == ".onnx":
            import onnx

            model = onnx.load(self.file, load_external_data=False)
            for tensor in model.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        files.add(self.file.parent / entry.value)
        return sorted(files)


def _deflated(file: Path) -> int:
    """Return the size of a file compressed by zlib's default level."""
    deflate = zlib.compressobj()
    size = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            size += len(deflate.compress(chunk))
    return size + len(deflate.flush())
