"""ONNX Runtime's own session, whatever others have put in its place."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def session_class() -> Any:
    """`onnxruntime.InferenceSession` as it was when somebody first asked for it here.

    Programs put `gossamer.InferenceSession` there, which asks before it can be put anywhere: what
    is left to ONNX Runtime must not come back to it.

    Raises:
        ImportError: if onnxruntime is not installed.
    """
    from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession

    return InferenceSession
