"""Dropout: a pass removes it outside training; in training ONNX Runtime draws."""

from __future__ import annotations

from gossamer.runtime.native import LEFT

NATIVE = {"Dropout": LEFT}
