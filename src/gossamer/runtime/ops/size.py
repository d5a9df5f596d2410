"""Size: left to ONNX Runtime.

Exporters compare it to choose a branch of an If, and ONNX Runtime refuses some branches once the
condition is a constant.
"""

from __future__ import annotations

from gossamer.runtime.native import LEFT

NATIVE = {"Size": LEFT}
