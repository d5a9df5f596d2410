"""Expand: repetitions along axes of one element."""

from __future__ import annotations

from gossamer.runtime.expressions import first_operand, movement, repeated

NATIVE = {"Expand": movement(repeated, first_operand, is_cheap=True)}
