"""ONNX models as graphs: their nodes, tensors and data beside the file, and what valid ones are."""
