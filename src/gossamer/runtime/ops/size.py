"""Size: how many elements a tensor has."""

from __future__ import annotations

from gossamer.runtime.expressions import KNOWN

NATIVE = {"Size": KNOWN}
