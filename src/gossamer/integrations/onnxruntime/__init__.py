"""A drop-in for ONNX Runtime's session, for programs and packages that use that."""

from gossamer.integrations.onnxruntime.inference_session import InferenceSession
from gossamer.integrations.onnxruntime.io_binding import IOBinding
from gossamer.integrations.onnxruntime.ort_value import OrtValue

__all__ = ["IOBinding", "InferenceSession", "OrtValue"]
