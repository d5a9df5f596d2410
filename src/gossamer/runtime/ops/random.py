"""What is drawn anew in each run, by ONNX Runtime."""

from __future__ import annotations

from gossamer.graphs.ops import random
from gossamer.runtime.native import LEFT

NATIVE = dict.fromkeys(random.OPERATORS, LEFT)
