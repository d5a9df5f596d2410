"""What can come of a model."""

from __future__ import annotations

AGREES = "agrees"
DIFFERS = "differs"
RAISES = "raises"
CRASHES = "crashes"
"""The process ended."""
LIMITED = "limited"
"""Some open sizes are refused, as documented."""
SKIPS_ZEROS = "skips zeros"
"""A zero weight kept NaN or an infinity out, as documented."""
INVALID = "invalid"
"""ONNX Runtime refuses the model, though it took each node."""

FAULTS = (DIFFERS, RAISES, CRASHES)
