"""The sparse compiler: ONNX in, native code out, run by a session."""

from gossamer.runtime.ports import Port
from gossamer.runtime.session import Explanation, Session, compile

__all__ = ["Explanation", "Port", "Session", "compile"]
