"""Where: one adapter per kind of model, all behind the protocol `ModelAdapter`."""

from __future__ import annotations

from gossamer.models.adapter import Layer, ModelAdapter
from gossamer.models.opening import open_model

__all__ = ["Layer", "ModelAdapter", "open_model"]
