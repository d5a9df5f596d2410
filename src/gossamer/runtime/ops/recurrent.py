"""LSTM, GRU, RNN, Scan: left to ONNX Runtime."""

from __future__ import annotations

from gossamer.graphs.ops import recurrent
from gossamer.runtime.native import LEFT

NATIVE = dict.fromkeys(recurrent.OPERATORS, LEFT)
