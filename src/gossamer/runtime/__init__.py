"""The sparse compiler: ONNX in, native code out, run by a session."""

from gossamer.runtime.compiler import compile
from gossamer.runtime.explanation import Explanation
from gossamer.runtime.ports import Port
from gossamer.runtime.session import Session

__all__ = ["Explanation", "Port", "Session", "compile"]
