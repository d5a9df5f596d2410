"""Random valid ONNX models, and what Gossamer makes of them beside ONNX Runtime.

`python tests/differential --help` has the commands; `README.md` says how it works.
"""
