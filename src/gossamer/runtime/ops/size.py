"""Size: its output is known before a run, or left to ONNX Runtime."""

from __future__ import annotations

from gossamer.runtime.native import LEFT

NATIVE = {"Size": LEFT}
