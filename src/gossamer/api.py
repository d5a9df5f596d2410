"""The public verbs, which are what `import gossamer as gs` offers."""

from __future__ import annotations

from gossamer.formats import load, save
from gossamer.inspection import inspect

__all__ = ["inspect", "load", "save"]
