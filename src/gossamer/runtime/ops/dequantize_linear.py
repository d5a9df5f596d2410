"""DequantizeLinear: constants are computed ahead, all else is left to ONNX Runtime."""

from __future__ import annotations

from gossamer.runtime.native import LEFT

NATIVE = {"DequantizeLinear": LEFT}
